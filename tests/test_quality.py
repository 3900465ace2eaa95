"""The training-quality suite: data, sampling, metrics, the loop, and its mirror in MLflow."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from kernels import catalogue
from kernels.checks import InputError
from kernels.loss import Contender, Loss, Training
from suites.presets import PRESETS
from suites.quality import backbones, metrics, sampling, training
from suites.quality.datasets import Dataset, digits
from suites.quality.loop import Run, Settings, cpu_threads
from suites.quality.objective import Objective, learnt_fields, needs_partners, recipe
from suites.quality.tracking import Mirror, _without_secrets

TWO_EPOCHS = Settings(epochs=2)
FAST = PRESETS["fast"]


def _job(loss: str, seed: int, contender: str = "eager") -> training.Job:
    jobs = [j for j in training.plan(FAST, seed, "cpu", contender) if j.loss == loss]
    assert len(jobs) == 1
    return jobs[0]


def _without_times(rows: list[dict[str, float | None]]) -> list[dict[str, float | None]]:
    return [{k: v for k, v in row.items() if k != "train_time_s"} for row in rows]


# --- data ---------------------------------------------------------------------------------------


def test_digits_are_split_by_identity_and_kept_apart():
    data = digits()
    identities = {name: set(data.identities[rows].tolist()) for name, rows in data.splits.items()}
    assert identities == {
        "train": {0, 1, 2, 3, 4},
        "seen": {0, 1, 2, 3, 4},
        "test": {5, 6, 7, 8, 9},
    }
    rows = torch.cat(list(data.splits.values()))
    assert sorted(rows.tolist()) == list(range(1797))
    assert data.images.dtype == torch.float32
    assert (data.images.min(), data.images.max()) == (0, 1)
    images, labels = data.split("test")
    assert images.shape == (len(labels), 1, 8, 8)
    assert sorted(set(labels.tolist())) == [0, 1, 2, 3, 4]


def test_a_manifest_tells_any_change_of_the_data():
    data = digits()
    digits.cache_clear()
    assert digits().manifest == data.manifest
    images, identities = data.images.clone(), data.identities.clone()
    images[1, 0, 2, 3] += 1 / 16
    identities[0], identities[1] = data.identities[1], data.identities[0]
    swapped = {**data.splits, "train": data.splits["train"].flip(0)}
    changed = (
        dataclasses.replace(data, images=images),
        dataclasses.replace(data, splits=swapped),
    )
    assert len({data.manifest, *(c.manifest for c in changed)}) == 3


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [0, 1], "test": [1, 2, 3]}, "no image in two splits; got image 1 in both train"),
        ({"train": [0, 2], "test": [1, 3]}, "no identity in two splits; got identity 0 in both"),
        ({"train": [0, 1], "test": [2], "seen": [1]}, "no image in two splits; got image 1"),
        ({"train": [0, 1], "test": [2], "valid": [3]}, "no identity in two splits; got identity 1"),
        ({"train": [0, 1]}, "splits: expected train and test; got none named test"),
    ],
)
def test_overlapping_splits_are_refused(splits: dict[str, list[int]], message: str):
    images = torch.zeros(4, 1, 2, 2)
    with pytest.raises(InputError) as error:
        Dataset(
            "toy",
            images,
            torch.tensor([0, 0, 1, 1]),
            {k: torch.tensor(v) for k, v in splits.items()},
        )
    assert message in str(error.value)


def test_seen_may_share_identities_but_not_images():
    splits = {"train": torch.tensor([0]), "seen": torch.tensor([1]), "test": torch.tensor([2, 3])}
    Dataset("toy", torch.zeros(4, 1, 2, 2), torch.tensor([0, 0, 1, 1]), splits)


# --- networks and sampling ----------------------------------------------------------------------


def test_the_last_relu_is_what_the_option_says(seed: int):
    images = torch.rand(50, 1, 8, 8)
    open_, closed = (
        backbones.build("mlp", 64, 16, torch.Generator().manual_seed(seed), last_relu=relu)
        for relu in (False, True)
    )
    assert open_(images).shape == (50, 16)
    assert open_(images).min() < 0
    assert torch.equal(closed(images), open_(images).relu())
    with pytest.raises(InputError, match=r"backbone: expected one of mlp; got 'resnet'"):
        backbones.build("resnet", 64, 16, torch.Generator())


def test_shuffled_batches_show_each_image_at_most_once(seed: int):
    batches = list(sampling.shuffled(103, 20, torch.Generator().manual_seed(seed)))
    assert [len(b) for b in batches] == [20] * 5 == [20] * sampling.steps_per_epoch(103, 20)
    assert len(torch.cat(batches).unique()) == 100


def test_balanced_batches_are_p_times_k(seed: int):
    labels = torch.arange(7).repeat_interleave(torch.tensor([3, 9, 9, 9, 9, 9, 9]))
    generator = torch.Generator().manual_seed(seed)
    batches = list(sampling.identity_balanced(labels, 4, 5, generator))
    assert len(batches) == sampling.steps_per_epoch(len(labels), 20)
    for rows in batches:
        counts = labels[rows].bincount(minlength=7)
        assert sorted(counts[counts > 0].tolist()) == [5, 5, 5, 5]
        for label in labels[rows].unique().tolist():
            chosen = rows[labels[rows] == label]
            # The identity with three images shows all three, then repeats.
            assert len(chosen.unique()) == min(5, int((labels == label).sum()))


def test_partners_are_every_image_that_qualifies_and_no_other(seed: int):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([2, 0, 1, 0, 2, 2, 1])
    rows = torch.arange(7).repeat(400)
    second, third = sampling.partners(labels, rows, generator)
    for row in range(7):
        same = set((labels == labels[row]).nonzero()[:, 0].tolist()) - {row}
        other = set((labels != labels[row]).nonzero()[:, 0].tolist())
        # 400 draws of at most 5: one is never drawn with a chance of 5 (4/5)^400 < 1e-37.
        assert set(second[rows == row].tolist()) == same
        assert set(third[rows == row].tolist()) == other


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 0]])
def test_partners_that_do_not_exist_are_an_error(labels: list[int]):
    with pytest.raises(InputError, match="labels: expected at least two"):
        sampling.partners(torch.tensor(labels), torch.arange(3), torch.Generator())


# --- metrics ------------------------------------------------------------------------------------


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
    got = metrics.evaluate(x, labels, metrics.verification_pairs(labels))
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
    ours = metrics.evaluate(x, labels, metrics.verification_pairs(labels))
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
    pairs = metrics.verification_pairs(labels)
    torch.manual_seed(2)
    assert torch.equal(pairs.indices, metrics.verification_pairs(labels).indices)
    assert int(pairs.same.sum()) == int((~pairs.same).sum()) == 3000
    assert len(pairs.indices.unique(dim=0)) == 6000
    assert (pairs.indices[:, 0] < pairs.indices[:, 1]).all()
    assert torch.equal(labels[pairs.indices[:, 0]] == labels[pairs.indices[:, 1]], pairs.same)
    for fold in range(metrics.FOLDS):
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
    pairs = metrics.Pairs(torch.zeros(2 * count, 2, dtype=torch.int64), same, fold)
    got = metrics.verification_accuracy(scores, pairs)
    assert got == pytest.approx(sum(accuracies) / folds, rel=1e-12)


def test_a_score_at_the_threshold_is_accepted():
    fold = torch.tensor([0, 0, 1, 1])
    same = torch.tensor([True, False, True, False])
    pairs = metrics.Pairs(torch.zeros(4, 2, dtype=torch.int64), same, fold)
    # Fold 1 puts the threshold of fold 0 at 0.5, where its same pair lies; fold 0 puts that of
    # fold 1 at 0.375.
    scores = torch.tensor([0.5, 0.25, 1.0, 0.0], dtype=torch.float64)
    assert metrics.verification_accuracy(scores, pairs) == 1


def test_error_rates_agree_with_scikit_learns_curve(seed: int):
    from sklearn.metrics import roc_curve

    x, labels = digits().split("test")
    x = x.flatten(1) + 0.5 * torch.randn(len(x), 64, generator=torch.Generator().manual_seed(seed))
    pairs = metrics.verification_pairs(labels)
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
    got = metrics.evaluate(x, labels, metrics.verification_pairs(labels))
    assert got["intra_class_angle_deg"] == pytest.approx(math.degrees(0.2), rel=1e-9)
    assert got["inter_class_angle_deg"] == pytest.approx(90, rel=1e-9)

    collapsed = torch.ones(40, 8) * torch.arange(1, 41)[:, None]
    # The directions differ by the rounding of float32's normalisation at most.
    assert metrics.spread(F.normalize(collapsed.double(), dim=1)) <= 1e-7
    everywhere = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    assert metrics.spread(F.normalize(everywhere.double(), dim=1)) == pytest.approx(1, abs=0.01)


def test_what_is_not_defined_is_none_and_never_a_number():
    labels = torch.tensor([0, 0, 1, 1, 2])
    pairs = metrics.verification_pairs(labels)
    broken = torch.ones(5, 3)
    broken[2, 1] = math.inf
    assert set(metrics.evaluate(broken, labels, pairs).values()) == {None}
    alone = torch.arange(5)
    got = metrics.evaluate(torch.randn(5, 3), alone, metrics.verification_pairs(alone))
    assert got["recall_at_1"] is got["map_at_r"] is got["verification_accuracy"] is None
    assert tuple(got) == metrics.NAMES
    # All at the origin: defined, and the worst there is.
    flat = metrics.evaluate(torch.zeros(5, 3), labels, pairs)
    assert all(value is None or math.isfinite(value) for value in flat.values())
    assert flat["embedding_spread"] == 0


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", catalogue.names())
def test_every_loss_trains_and_repeats_bit_for_bit(loss: str, seed: int):
    first = training.run(_job(loss, seed), TWO_EPOCHS)
    assert (first.status, first.reason) == ("ok", "")
    assert len(first.epochs) == 3
    assert first.epochs[2]["train_loss"] < first.epochs[1]["train_loss"]
    torch.manual_seed(seed + 1)  # nothing outside may matter, not even PyTorch's own seed
    again = training.run(_job(loss, seed), TWO_EPOCHS)
    assert _without_times(first.epochs) == _without_times(again.epochs)
    assert first.settings == again.settings
    assert first.metrics == {k: v for k, v in first.epochs[-1].items() if k != "epoch"}
    other = training.run(_job(loss, seed + 1), TWO_EPOCHS)
    assert other.epochs[2]["train_loss"] != first.epochs[2]["train_loss"]


def test_training_brings_images_of_the_trained_identities_together(seed: int):
    result = training.run(_job("softmax", seed), Settings(epochs=6))
    before, after = result.epochs[0]["seen_map_at_r"], result.metrics["seen_map_at_r"]
    assert after > before + 0.1


def test_a_result_is_plain_data_that_a_record_takes(seed: int):
    result = training.run(_job("softmax", seed), Settings(epochs=1))
    fields = dataclasses.asdict(result)
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    from benchmarks.metrics import METRICS

    assert set(result.metrics) <= set(METRICS)


def test_the_plan_has_every_loss_from_every_seed():
    preset = dataclasses.replace(FAST, training_seeds=2)
    jobs = training.plan(preset, 7, "cpu")
    assert [(j.loss, j.seed) for j in jobs] == list(itertools.product(catalogue.names(), (7, 8)))
    assert len({j.name for j in jobs}) == len(jobs)


def test_finished_trainings_are_not_trained_again(seed: int, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    jobs = training.plan(FAST, seed, "cpu")
    done = {job.name for job in jobs if job.loss != "softmax"}
    calls = []
    results = list(
        training.run_all(FAST, tmp_path, seed, done=done, progress=lambda *a: calls.append(a))
    )
    assert [r.loss for r in results] == ["softmax"]
    name, epochs = results[0].name, FAST.training_epochs
    assert calls == [(name, epoch, epochs) for epoch in range(epochs + 1)]
    assert not list(training.run_all(FAST, tmp_path, seed, losses=("no such",)))


def test_the_number_of_threads_is_put_back(seed: int):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 2)
    try:
        training.run(_job("softmax", seed), Settings(epochs=1))
        assert torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)


def test_a_contender_that_can_not_run_here_says_why(seed: int):
    if not torch.cuda.is_available():
        result = training.run(_job("softmax", seed, "triton"), TWO_EPOCHS)
        assert (result.status, result.reason) == ("not_run", "needs CUDA")
    result = training.run(_job("softmax", seed, "nobody"), TWO_EPOCHS)
    assert result.status == "not_run"
    assert "contender: expected one of reference, eager" in result.reason
    assert result.metrics == {}


# --- declarations -------------------------------------------------------------------------------


def test_what_is_trained_follows_from_the_declaration():
    softmax = catalogue.get("softmax").variant("linear")
    assert learnt_fields(softmax) == ("class_weights", "bias")
    assert not needs_partners(softmax)
    frozen = dataclasses.replace(softmax, differentiable=("embeddings", "bias"))
    assert learnt_fields(frozen) == ("bias",)
    pairs = dataclasses.replace(
        softmax,
        arguments=lambda b: {
            "x": b.embeddings,
            "y": torch.where(b.different[:, None], b.third, b.second),
        },
        differentiable=("x", "y"),
    )
    assert learnt_fields(pairs) == ()
    assert needs_partners(pairs)


def test_without_a_declaration_the_first_loss_over_a_head_or_batch_is_trained():
    softmax = catalogue.get("softmax")
    linear = softmax.variants[0]
    rows, update = (
        dataclasses.replace(linear, name="rows", family="rows"),
        dataclasses.replace(linear, name="update", output="tensor"),
    )
    loss = dataclasses.replace(softmax, training=None, variants=(update, rows, linear))
    assert recipe(loss).variant == "linear"
    assert recipe(dataclasses.replace(loss, variants=(update, rows))).variant == "rows"


def test_a_recipe_of_the_catalogue_names_variants_and_fields_that_are_there():
    for loss in catalogue.losses():
        training_ = recipe(loss)
        assert loss.variant(training_.variant).output == "loss"
        for field, name in training_.updates.items():
            assert field in ("class_weights", "bias", "centers")
            assert loss.variant(name).output == "tensor"
            assert field not in learnt_fields(loss.variant(training_.variant))
        if training_.schedule:
            for progress in (0.0, 0.5, 1.0):
                known = set(loss.variant(training_.variant).options)
                assert set(training_.schedule(progress)) <= known


PLANTED = """
import torch
calls = []


def loss(x, *, centers, strength, reduction):
    calls.append((centers.clone(), strength, centers.requires_grad))
    return strength * (x - 1).square().mean()


def update(x, centers, *, rate):
    return centers + rate


def pairs(a, b, different, weights, *, reduction):
    assert 0 < different.sum() < len(different), "both kinds of pair"
    distance = (a - b).square().sum(1)
    terms = torch.where(different, (1 - (distance + 1e-6).sqrt()).relu().square(), distance)
    return terms.mean() + weights.square().mean()


def failing(x, *, centers, strength, reduction):
    raise RuntimeError("planted")


def diverging(x, *, centers, strength, reduction):
    calls.append(None)
    return x.square().mean() * (float("nan") if len(calls) > 20 else 1.0)


def poisoning(x, *, centers, strength, reduction):
    # A finite loss with a gradient that is not: the square root at zero.
    return (x - x).abs().sum().sqrt()
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch):
    """A folder with losses that misbehave: ``planted(function)`` declares one of them."""
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "__init__.py").write_text("")
    (tmp_path / "planted" / "eager.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("planted", "planted.eager"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def declare(function: str) -> Loss:
        linear = catalogue.get("softmax").variant("linear")
        variant = dataclasses.replace(
            linear,
            name=function,
            arguments=lambda b: {"x": b.embeddings, "centers": b.centers},
            differentiable=("x",),
            options={"strength": 1.0},
            contenders=(Contender("eager", f"eager:{function}"),),
        )
        update = dataclasses.replace(
            variant,
            name="update",
            output="tensor",
            options={"rate": 0.5},
            contenders=(Contender("eager", "eager:update"),),
        )
        recipe_ = Training(
            variant=function,
            updates={"centers": "update"},
            schedule=lambda progress: {"strength": 1 + progress},
        )
        return Loss("planted", "Planted", "nowhere", (variant, update), recipe_, "planted")

    yield declare
    for name in ("planted", "planted.eager"):
        sys.modules.pop(name, None)


def _instead(monkeypatch, *losses: Loss) -> None:
    """The catalogue holds these losses and no other."""
    monkeypatch.setattr(catalogue, "losses", lambda: list(losses))
    monkeypatch.setattr(catalogue, "get", {loss.name: loss for loss in losses}.__getitem__)


def test_updates_and_schedule_follow_each_step(planted, monkeypatch, seed: int):
    _instead(monkeypatch, planted("loss"))
    result = training.run(_job("planted", seed), TWO_EPOCHS)
    assert result.status == "ok", result.reason
    from planted.eager import calls

    steps = result.settings["steps"]
    assert len(calls) == steps
    for step, (centers, strength, takes_gradient) in enumerate(calls):
        assert torch.equal(centers, torch.full_like(centers, step * 0.5))
        assert strength == pytest.approx(1 + step / steps)
        assert not takes_gradient
    assert result.settings["updated_by_rule"] == {"centers": "update"}


def test_explicit_pairs_train_with_partners_of_their_own(planted, monkeypatch, seed: int):
    loss = planted("pairs")
    variant = dataclasses.replace(
        loss.variants[0],
        family="rows",
        arguments=lambda b: {
            "a": b.embeddings,
            "b": torch.where(b.different[:, None], b.third, b.second),
            "different": b.different,
            "weights": b.class_weights,
        },
        differentiable=("a", "b", "weights"),
        options={},
    )
    recipe_ = Training(variant="pairs")
    _instead(monkeypatch, dataclasses.replace(loss, variants=(variant,), training=recipe_))
    first, again = (training.run(_job("planted", seed), TWO_EPOCHS) for _ in range(2))
    assert first.status == "ok", first.reason
    assert first.settings["explicit_partners"]
    assert first.settings["trained_beside_network"] == ["class_weights"]
    assert _without_times(first.epochs) == _without_times(again.epochs)
    assert first.epochs[2]["train_loss"] < first.epochs[1]["train_loss"]


def test_what_the_loss_learns_is_trained_with_the_network(seed: int):
    run = Run(catalogue.get("softmax"), "eager", digits(), Settings(epochs=1), seed)
    before = [p.detach().clone() for p in run.objective.parameters]
    with cpu_threads(1):
        list(run.epochs())
    assert len(before) == 2
    for old, new in zip(before, run.objective.parameters, strict=True):
        assert (old != new).all()


def test_a_loss_that_fails_takes_only_itself(planted, monkeypatch, seed: int, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    softmax = catalogue.get("softmax")
    _instead(monkeypatch, planted("failing"), softmax)
    failed, fine = training.run_all(FAST, tmp_path, seed)
    assert (failed.status, failed.reason) == ("not_run", "RuntimeError: planted")
    assert failed.metrics == {}
    assert fine.status == "ok"
    assert fine.metrics["recall_at_1"] > 0


@pytest.mark.parametrize(
    ("function", "reason"),
    [("diverging", "the loss was nan at step 20"), ("poisoning", "embeddings were not finite")],
)
def test_a_training_that_diverges_is_worse_and_keeps_no_number(
    planted, monkeypatch, seed: int, function: str, reason: str
):
    _instead(monkeypatch, planted(function))
    result = training.run(_job("planted", seed), Settings(epochs=3))
    assert result.status == "worse"
    assert reason in result.reason
    assert set(result.metrics.values()) == {None}
    assert "recall_at_1" in result.metrics
    json.dumps(dataclasses.asdict(result), allow_nan=False)


# --- the mirror ---------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch) -> list[object]:
    """Every attempt to reach another machine fails and is listed."""
    attempts: list[object] = []

    def refuse(self, address, *_):
        attempts.append(address)
        raise OSError("no network in this test")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # mlflow's own use of sqlalchemy
def test_mlflow_holds_what_the_result_says(
    planted, monkeypatch, seed: int, tmp_path: Path, no_network, capfd
):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    softmax, diverging = catalogue.get("softmax"), planted("diverging")
    tags = {"commit": "0123abc", "torch": torch.__version__}
    for losses in ((softmax,), (softmax, diverging)):  # the first again, as if killed before
        _instead(monkeypatch, *losses)
        preset = dataclasses.replace(FAST, training_epochs=3)
        results = list(training.run_all(preset, out, seed, tags=tags))
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert no_network == []
    assert {p.name for p in tmp_path.iterdir()} == {"run", "planted"}

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("marginbench")
    assert len(client.search_runs([experiment.experiment_id])) == 2, "a repeat replaces its run"
    fine, bad = results
    run = client.get_run(fine.mlflow["run_id"])
    assert run.info.run_name == fine.name
    assert run.data.metrics == {k: v for k, v in fine.metrics.items() if v is not None}
    history = client.get_metric_history(run.info.run_id, "recall_at_1")
    assert [(m.step, m.value) for m in history] == [
        (int(row["epoch"]), row["recall_at_1"]) for row in fine.epochs
    ]
    assert run.data.params["dataset_sha256"] == digits().manifest
    assert run.data.params["seed"] == str(seed)
    assert run.data.tags["mlflow.source.git.commit"] == "0123abc"
    assert run.data.tags["torch"] == torch.__version__
    assert [a.path for a in client.list_artifacts(run.info.run_id)] == ["embeddings.png"]

    run = client.get_run(bad.mlflow["run_id"])
    assert run.info.status == "FAILED"
    assert "recall_at_1" in run.data.tags["not_finite"]
    assert run.data.tags["reason"] == bad.reason
    assert all(math.isfinite(value) for value in run.data.metrics.values())


def test_without_mlflow_the_result_is_whole(seed: int, tmp_path: Path, monkeypatch):
    expected = training.run(_job("softmax", seed), TWO_EPOCHS)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    result = training.run(_job("softmax", seed), TWO_EPOCHS, Mirror(tmp_path, {}))
    assert result.mlflow == {"reason": "mlflow is not installed"}
    assert result.status == "ok"
    assert _without_times(result.epochs) == _without_times(expected.epochs)


@pytest.mark.parametrize("store", ["damaged", "unreachable"])
def test_a_store_that_fails_costs_the_mirror_alone(
    seed: int, tmp_path: Path, monkeypatch, store: str
):
    pytest.importorskip("mlflow")
    damaged = tmp_path / "damaged.db"
    damaged.write_text("this is no database " * 100)
    uri = {
        "damaged": f"sqlite:///{damaged}",
        # Port 9 (discard) refuses; the password must not come back in the reason.
        "unreachable": "http://user:secret@127.0.0.1:9",
    }[store]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mirror = Mirror(tmp_path, {})
    for _ in range(2):
        result = training.run(_job("softmax", seed), Settings(epochs=1), mirror)
        assert result.status == "ok"
        assert set(result.mlflow) == {"reason"}
        assert "secret" not in result.mlflow["reason"]


def test_secrets_in_an_address_are_left_out():
    assert _without_secrets("postgresql://me:pw@host/db is gone") == "postgresql://host/db is gone"
    assert _without_secrets("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"


def test_listing_and_importing_the_suite_does_not_import_mlflow():
    import subprocess

    code = "import sys, suites.quality.training; print('mlflow' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert printed.stdout.strip() == "False"


def test_class_weights_start_alike_for_every_contender(seed: int):
    loss = catalogue.get("softmax")
    made = [
        Objective(loss, contender, 5, 8, torch.Generator().manual_seed(seed)).parameters
        for contender in ("reference", "eager")
    ]
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))
    run = Run(loss, "eager", digits(), Settings(epochs=1), seed)
    # 721 images in steps of 60.
    assert run.steps == len(digits().splits["train"]) // 60
