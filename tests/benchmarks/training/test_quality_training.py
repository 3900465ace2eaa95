"""Trainings from start to end: repeated, planned, resumed, and with losses that misbehave."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import pytest
import torch
from quality_cases import FAST, instead, job, planted_losses, trained, without_times

from benchmarks.training import training
from marginbench import catalogue
from marginbench.loss import Training
from suites.jobs import Settings


@pytest.fixture
def planted(tmp_path: Path, monkeypatch):
    """Declares losses that misbehave, see `quality_cases.planted_losses`."""
    yield from planted_losses(tmp_path, monkeypatch)


@pytest.mark.parametrize("loss", catalogue.names())
def test_every_loss_trains_and_repeats_bit_for_bit(loss: str, seed: int):
    first = trained(loss, seed)
    assert (first.status, first.reason) == ("ok", "")
    assert len(first.epochs) == 3
    assert first.epochs[2]["train_loss"] < first.epochs[1]["train_loss"]
    torch.manual_seed(seed + 1)  # nothing outside may matter, not even PyTorch's own seed
    again = training.run(job(loss, seed))
    assert without_times(first.epochs) == without_times(again.epochs)
    assert first.settings == again.settings
    assert first.metrics == {k: v for k, v in first.epochs[-1].items() if k != "epoch"}
    other = training.run(job(loss, seed + 1))
    assert other.epochs[2]["train_loss"] != first.epochs[2]["train_loss"]


def test_training_brings_images_of_the_trained_identities_together(seed: int):
    result = training.run(job("softmax", seed, epochs=6))
    before, after = result.epochs[0]["seen_map_at_r"], result.metrics["seen_map_at_r"]
    assert after > before + 0.1


def test_a_result_is_plain_data_that_a_record_takes(seed: int):
    result = trained("softmax", seed)
    fields = dataclasses.asdict(result)
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    from benchmarks.instruments.metrics import METRICS

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
    results = list(training.run_all(FAST, tmp_path, seed, done=done, progress=calls.append))
    assert [r.loss for r in results] == ["softmax"]
    name, epochs = results[0].name, FAST.training_epochs
    heard = [(at.result.name, at.epoch, at.epochs) for at in calls]
    assert heard == [(name, epoch, epochs) for epoch in range(epochs + 1)]
    assert not list(training.run_all(FAST, tmp_path, seed, losses=("no such",)))


def test_the_number_of_threads_is_put_back(seed: int):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 2)
    try:
        training.run(job("softmax", seed, epochs=1))
        assert torch.get_num_threads() == before + 2
    finally:
        torch.set_num_threads(before)


def test_a_contender_that_can_not_run_here_says_why(seed: int):
    if not torch.cuda.is_available():
        result = training.run(job("softmax", seed, "triton"))
        assert (result.status, result.reason) == ("not_run", "needs CUDA")
    result = training.run(job("softmax", seed, "nobody"))
    assert result.status == "not_run"
    assert "contender: expected one of reference, eager" in result.reason
    assert result.metrics == {}


def test_updates_and_schedule_follow_each_step(planted, monkeypatch, seed: int):
    instead(monkeypatch, planted("loss"))
    result = training.run(job("planted", seed))
    assert result.status == "ok", result.reason
    from planted.eager import calls

    steps = result.settings["steps"]
    assert len(calls) == steps
    for step, (centers, strength, takes_gradient) in enumerate(calls):
        assert torch.equal(centers, torch.full_like(centers, step * 0.5))
        assert strength == pytest.approx(1.0 + step)
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
    instead(monkeypatch, dataclasses.replace(loss, variants=(variant,), training=recipe_))
    first, again = (training.run(job("planted", seed)) for _ in range(2))
    assert first.status == "ok", first.reason
    assert first.settings["explicit_partners"]
    assert first.settings["trained_beside_network"] == ["class_weights"]
    assert without_times(first.epochs) == without_times(again.epochs)
    assert first.epochs[2]["train_loss"] < first.epochs[1]["train_loss"]


def test_a_loss_that_fails_takes_only_itself(planted, monkeypatch, seed: int, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    softmax = catalogue.get("softmax")
    instead(monkeypatch, planted("failing"), softmax)
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
    instead(monkeypatch, planted(function))
    result = training.run(job("planted", seed, epochs=3))
    assert result.status == "worse"
    assert reason in result.reason
    assert set(result.metrics.values()) == {None}
    assert "recall_at_1" in result.metrics
    assert [row["epoch"] for row in result.epochs] == list(range(len(result.epochs)))
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_what_the_very_last_step_ruins_is_reported_too(planted, monkeypatch, seed: int):
    instead(monkeypatch, planted("poisoning"))
    one_step = Settings(1, identities_per_batch=5, images_per_identity=144)
    result = training.run(dataclasses.replace(job("planted", seed), settings=one_step))
    assert result.settings["steps"] == 1
    assert result.status == "worse"
    assert result.reason == "diverged: embeddings were not finite after epoch 1"
    assert [row["epoch"] for row in result.epochs] == [0, 1]
    assert set(result.metrics.values()) == {None}
