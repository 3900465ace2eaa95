"""The metrics against other libraries, on identities of unequal size and on equal scores."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.training import metrics, retrieval, verification


def unequal(seed: int, *, rounded: bool = False) -> tuple[Tensor, Tensor]:
    """12 identities of 1 to 23 images in no order; ``rounded`` to few values, so that many
    scores are exactly equal."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.randint(2, 24, (12,), generator=generator)
    size[3] = 1
    labels = torch.repeat_interleave(torch.arange(12), size)
    labels = labels[torch.randperm(len(labels), generator=generator)] * 7
    means = torch.randn(100, 6, generator=generator)
    x = means[labels] + torch.randn(len(labels), 6, generator=generator)
    return (x.sign() if rounded else x), labels


def scores_and_kinds(seed: int, *, rounded: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    same = torch.rand(700, generator=generator) < 0.3
    scores = torch.randn(700, generator=generator).double() * 0.2 + 0.4 * same
    scores = (scores * 0.5 + 0.3).clamp(0, 1)
    # Either way float32, which torchmetrics computes in, distinguishes the same scores.
    steps = 40 if rounded else 2**20
    return (scores * steps).round() / steps, same


def accuracy_calculator(x: Tensor, labels: Tensor) -> dict[str, float]:
    pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
        # Its default needs faiss.
        knn_func=CustomKNN(CosineSimilarity()),
    )
    return calculator.get_accuracy(x.double(), labels)


def test_retrieval_of_unequal_identities_is_the_accuracy_calculators(seed: int):
    x, labels = unequal(seed)
    ours = metrics.evaluate(x, labels, verification.verification_pairs(labels))
    theirs = accuracy_calculator(x, labels)
    # Theirs averages in float32.
    assert ours["recall_at_1"] == pytest.approx(theirs["precision_at_1"], abs=1e-5)
    assert ours["map_at_r"] == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-5)


def test_retrieval_of_unequal_identities_is_torchmetrics_query_by_query(seed: int):
    functional = pytest.importorskip("torchmetrics.functional.retrieval")
    x, labels = unequal(seed)
    u = F.normalize(x.double(), dim=1)
    first, r_precision = [], []
    for query in range(len(x)):
        others = torch.arange(len(x)) != query
        right = labels[others] == labels[query]
        if right.any():
            # Ranks, for theirs compares in float32, where near scores are tied.
            scores = (u @ u[query])[others].argsort().argsort().float()
            first.append(float(functional.retrieval_precision(scores, right, top_k=1)))
            # Average precision cut off at R: theirs divides by the hits found, ours by R.
            r = int(right.sum())
            hits = float(right[scores.argsort(descending=True)[:r]].sum())
            cut = float(functional.retrieval_average_precision(scores, right, top_k=r))
            r_precision.append(cut * hits / r)
    recall, mean_precision = retrieval.retrieval(u, labels)
    assert recall == pytest.approx(sum(first) / len(first), abs=1e-6)
    assert mean_precision == pytest.approx(sum(r_precision) / len(r_precision), abs=1e-6)


def test_of_equal_scores_the_first_are_taken(seed: int):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 6, (40, 60), generator=generator).double()
    scores[7] = torch.rand(60, generator=generator).double()
    expected = scores.argsort(dim=1, descending=True, stable=True)
    for k in (1, 2, 13, 59, 60):
        assert torch.equal(retrieval.nearest(scores, k), expected[:, :k])


def test_retrieval_in_chunks_is_retrieval_at_once(seed: int, monkeypatch: pytest.MonkeyPatch):
    x, labels = unequal(seed, rounded=True)
    # Halves and quarters: products of signs are exact, whatever the chunk's shape.
    u = x.double() / 2
    whole = retrieval.retrieval(u, labels)
    monkeypatch.setattr(retrieval, "_CHUNK", 3 * len(x))
    assert retrieval.retrieval(u, labels) == pytest.approx(whole, rel=1e-12)


def test_a_collapsed_network_retrieves_as_chance_does(seed: int):
    """Sorted by identity, the lowest index first would answer every query with identity 0."""
    labels = torch.arange(5).repeat_interleave(80)
    got = metrics.evaluate(torch.ones(400, 4), labels, verification.verification_pairs(labels))
    # All queries are answered by one image, which is right for its own identity.
    assert 79 / 400 <= got["recall_at_1"] <= 80 / 400
    assert 0.02 < got["map_at_r"] < 0.08
    assert got["embedding_diameter"] == got["intra_class_distance"] == 0
    assert got["embedding_spread"] == pytest.approx(0, abs=1e-12)
    assert got["verification_accuracy"] == 0.5


@pytest.mark.parametrize("rounded", [False, True])
def test_error_rates_are_those_of_scikit_learn_and_torchmetrics(rounded: bool, seed: int):
    classification = pytest.importorskip("torchmetrics.functional.classification")
    from sklearn.metrics import roc_curve

    scores, same = scores_and_kinds(seed, rounded=rounded)
    got = verification.error_rates(scores, same)
    false_accept, true_accept, _ = roc_curve(same, scores, drop_intermediate=False)
    apart = abs(false_accept - (1 - true_accept))
    # The first of those that are as near, but for the rounding of these rates.
    at = (apart <= apart.min() + 1e-12).argmax()
    expected = (false_accept[at] + 1 - true_accept[at]) / 2
    assert got["equal_error_rate"] == pytest.approx(expected, rel=1e-12)
    for name, share in (("tar_at_far_1_percent", 100), ("tar_at_far_0_1_percent", 1000)):
        # By counting: the lowest threshold that at most that many others reach.
        others, others_of = scores[~same], scores[same]
        allowed = [
            float((others_of >= t).double().mean())
            for t in [*scores.tolist(), 2.0]
            if int((others >= t).sum()) * share <= len(others)
        ]
        assert got[name] == pytest.approx(max(allowed), rel=1e-12)
    # Theirs is in float32, where another of two thresholds may be nearest: one pair's difference.
    theirs = float(classification.binary_eer(scores, same.long()))
    assert got["equal_error_rate"] == pytest.approx(theirs, abs=1 / int(same.sum()))
    far, tar, _ = classification.binary_roc(scores, same.long())
    ours = verification.receiver_operating(scores, same)
    assert ours is not None
    assert torch.allclose(ours[0], far.double(), atol=1e-6)
    assert torch.allclose(ours[1], tar.double(), atol=1e-6)


def test_rates_compare_as_counts():
    """1% of 3,000 is 30: as many false accepts are allowed, and not one more."""
    others = torch.arange(3_000).double()
    same = torch.arange(3_001) == 3_000
    for accepted, expected in ((30, 1.0), (31, 0.0)):
        scores = torch.cat([others, others[-accepted, None]])
        assert verification.error_rates(scores, same)["tar_at_far_1_percent"] == expected
    scores = torch.cat([others, others[-3, None]])
    assert verification.error_rates(scores, same)["tar_at_far_0_1_percent"] == 1


def test_pairs_of_many_images_are_drawn_evenly_without_listing_them():
    labels = torch.randint(0, 400, (20_000,), generator=torch.Generator().manual_seed(1))
    pairs = verification.verification_pairs(labels)
    first, second = pairs.indices.T
    assert len(pairs.indices.unique(dim=0)) == 6_000
    assert torch.equal(labels[first] == labels[second], pairs.same)
    assert int(pairs.same.sum()) == 3_000
    # Uniform over pairs: both ends lie in each tenth of the images about equally often. 6,000
    # lower ends have a mean of a third of the range with a standard error of 0.3%.
    assert float(first[~pairs.same].double().mean()) / 20_000 == pytest.approx(1 / 3, abs=0.02)
    assert float(second[~pairs.same].double().mean()) / 20_000 == pytest.approx(2 / 3, abs=0.02)
    assert len(labels[first[pairs.same]].unique()) > 380


def test_all_pairs_are_taken_where_there_are_few():
    labels = torch.tensor([3, 1, 3, 1, 3, 9])
    pairs = verification.verification_pairs(labels)
    got = {tuple(row) for row in pairs.indices[pairs.same].tolist()}
    assert got == {(0, 2), (0, 4), (2, 4), (1, 3)}
    assert len(pairs.indices[~pairs.same].unique(dim=0)) == 4
    for none in (torch.arange(4), torch.zeros(4, dtype=torch.int64)):
        assert verification.verification_pairs(none).indices.shape == (0, 2)


def test_given_folds_are_kept():
    """LFW's folds need not be drawn by us: the mean is over the folds, not over the pairs."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-0.1, 1.0]])
    indices = torch.tensor([[0, 1], [0, 2], [2, 3], [1, 3], [1, 2], [0, 2]])
    same = torch.tensor([True, False, True, False, False, True])
    pairs = verification.Pairs(indices, same, torch.tensor([4, 4, 7, 7, 7, 7]))
    got = metrics.evaluate(x, torch.tensor([0, 0, 1, 1]), pairs)
    # Each fold's threshold lies about the middle; the pair that is labelled wrongly is missed.
    assert got["verification_accuracy"] == pytest.approx((1 + 3 / 4) / 2)
