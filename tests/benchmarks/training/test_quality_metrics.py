"""The training-quality suite's metrics, against counting by hand and against other libraries."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from benchmarks.training import geometry, metrics, verification
from benchmarks.training.datasets import digits


def _toy(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of 11, 9 and 4 images that overlap, and an identity with a single image."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor([11, 9, 4, 1]))
    means = torch.randn(4, 5, generator=generator)
    return means[labels] + 0.9 * torch.randn(25, 5, generator=generator), labels


def test_retrieval_is_what_counting_by_hand_gives(seed: int):
    x, labels = _toy(seed)
    u = F.normalize(x.double(), dim=1)
    right, average = [], []
    for query in range(25):
        others = [i for i in range(25) if i != query]
        others.sort(key=lambda i: (-float(u[query] @ u[i]), i))
        hits = [bool(labels[i] == labels[query]) for i in others]
        r = sum(hits)
        if r:
            right.append(hits[0])
            precision = [sum(hits[: k + 1]) / (k + 1) if hits[k] else 0.0 for k in range(r)]
            average.append(sum(precision) / r)
    got = metrics.evaluate(x, labels, verification.verification_pairs(labels))
    assert len(right) == 24
    assert got["recall_at_1"] == pytest.approx(sum(right) / 24, rel=1e-12)
    assert got["map_at_r"] == pytest.approx(sum(average) / 24, rel=1e-12)


def test_retrieval_agrees_with_pytorch_metric_learning(seed: int):
    pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    x, labels = digits().split("test")
    x = x.flatten(1) + 0.3 * torch.randn(len(x), 64, generator=torch.Generator().manual_seed(seed))
    ours = metrics.evaluate(x, labels, verification.verification_pairs(labels))
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=CustomKNN(CosineSimilarity()),
    )
    theirs = calculator.get_accuracy(x.double(), labels)
    # Theirs averages in float32: 9e2 queries of R ~ 180 terms each leave some 1e-6.
    assert ours["recall_at_1"] == pytest.approx(theirs["precision_at_1"], abs=1e-5)
    assert ours["map_at_r"] == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-5)


def test_pairs_are_balanced_unique_and_do_not_depend_on_anything_else():
    labels = digits().split("test")[1]
    torch.manual_seed(1)
    pairs = verification.verification_pairs(labels)
    torch.manual_seed(2)
    assert torch.equal(pairs.indices, verification.verification_pairs(labels).indices)
    assert int(pairs.same.sum()) == int((~pairs.same).sum()) == 3000
    assert len(pairs.indices.unique(dim=0)) == 6000
    assert (pairs.indices[:, 0] < pairs.indices[:, 1]).all()
    assert torch.equal(labels[pairs.indices[:, 0]] == labels[pairs.indices[:, 1]], pairs.same)
    for fold in range(verification.FOLDS):
        assert int((pairs.fold == fold).sum()) == 600
        assert int((pairs.same & (pairs.fold == fold)).sum()) == 300


def test_verification_takes_its_threshold_from_the_other_folds(seed: int):
    generator = torch.Generator().manual_seed(seed)
    count, folds = 60, 5
    same = torch.arange(2 * count) < count
    scores = torch.randn(2 * count, generator=generator).double() + same
    # Ties between the two kinds must count as one threshold.
    scores = (scores * 4).round() / 4
    fold = (torch.arange(count) % folds).repeat(2)
    accuracies = []
    for held in range(folds):
        rest, there = fold != held, fold == held
        values = sorted(set(scores[rest].tolist()))
        middles = [(a + b) / 2 for a, b in itertools.pairwise(values)]
        thresholds = [-math.inf, *middles, math.inf]
        right = [int(((scores[rest] >= t) == same[rest]).sum()) for t in thresholds]
        threshold = thresholds[right.index(max(right))]
        accuracies.append(float(((scores[there] >= threshold) == same[there]).double().mean()))
    pairs = verification.Pairs(torch.zeros(2 * count, 2, dtype=torch.int64), same, fold)
    got = verification.verification_accuracy(scores, pairs)
    assert got == pytest.approx(sum(accuracies) / folds, rel=1e-12)


def test_a_score_at_the_threshold_is_accepted():
    fold = torch.tensor([0, 0, 1, 1])
    same = torch.tensor([True, False, True, False])
    pairs = verification.Pairs(torch.zeros(4, 2, dtype=torch.int64), same, fold)
    # Fold 1 puts the threshold of fold 0 at 0.5, where its same pair lies; fold 0 puts that of
    # fold 1 at 0.375.
    scores = torch.tensor([0.5, 0.25, 1.0, 0.0], dtype=torch.float64)
    assert verification.verification_accuracy(scores, pairs) == 1


def test_error_rates_agree_with_scikit_learns_curve(seed: int):
    from sklearn.metrics import roc_curve

    x, labels = digits().split("test")
    x = x.flatten(1) + 0.5 * torch.randn(len(x), 64, generator=torch.Generator().manual_seed(seed))
    pairs = verification.verification_pairs(labels)
    got = metrics.evaluate(x, labels, pairs)
    u = F.normalize(x.double(), dim=1)
    scores = (u[pairs.indices[:, 0]] * u[pairs.indices[:, 1]]).sum(1)
    false_accept, true_accept, _ = roc_curve(pairs.same, scores, drop_intermediate=False)
    at = abs(false_accept - (1 - true_accept)).argmin()
    # Two pairs whose scores differ by rounding alone may swap: one pair of 3,000 either way.
    assert got["equal_error_rate"] == pytest.approx(
        (false_accept[at] + 1 - true_accept[at]) / 2, abs=1 / 3000
    )
    assert got["tar_at_far_1_percent"] == pytest.approx(
        true_accept[false_accept <= 0.01].max(), abs=1 / 3000
    )


def test_angles_and_spread_of_known_arrangements():
    turn = torch.tensor([-0.1, 0.1, math.pi / 2 - 0.3, math.pi / 2 + 0.3], dtype=torch.float64)
    x = torch.stack([turn.cos(), turn.sin()], dim=1) * torch.tensor([[1.0], [7.0], [2.0], [0.5]])
    labels = torch.tensor([0, 0, 1, 1])
    got = metrics.evaluate(x, labels, verification.verification_pairs(labels))
    assert got["intra_class_angle_deg"] == pytest.approx(math.degrees(0.2), rel=1e-9)
    assert got["inter_class_angle_deg"] == pytest.approx(90, rel=1e-9)

    collapsed = torch.ones(40, 8) * torch.arange(1, 41)[:, None]
    # The directions differ by the rounding of float32's normalisation at most.
    assert geometry.spread(F.normalize(collapsed.double(), dim=1)) <= 1e-7
    everywhere = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    assert geometry.spread(F.normalize(everywhere.double(), dim=1)) == pytest.approx(1, abs=0.01)


def test_what_is_not_defined_is_none_and_never_a_number():
    labels = torch.tensor([0, 0, 1, 1, 2])
    pairs = verification.verification_pairs(labels)
    broken = torch.ones(5, 3)
    broken[2, 1] = math.inf
    assert set(metrics.evaluate(broken, labels, pairs).values()) == {None}
    alone = torch.arange(5)
    got = metrics.evaluate(torch.randn(5, 3), alone, verification.verification_pairs(alone))
    assert got["recall_at_1"] is got["map_at_r"] is got["verification_accuracy"] is None
    assert list(got) == list(metrics.instruments_of())
    # All at the origin: defined, and the worst there is.
    flat = metrics.evaluate(torch.zeros(5, 3), labels, pairs)
    assert all(value is None or math.isfinite(value) for value in flat.values())
    assert flat["embedding_spread"] == 0
