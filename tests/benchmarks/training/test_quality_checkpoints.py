"""A training that was stopped goes on to the same numbers, bit for bit; what it keeps, and when it
starts anew instead."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from quality_cases import without_times

from benchmarks import library
from benchmarks.training import backbones, datasets, training
from benchmarks.training.checkpoints import Checkpoint, Unusable, safe_name
from benchmarks.training.loop import Run
from suites.jobs import Job, Settings, Term, Underway
from suites.schema import TrainingResult

ROOT = Path(__file__).resolve().parents[3]
TERMS = {
    "softmax": (Term("softmax"),),
    "sum": (Term("center"), Term("contrastive", "pairs", weight=0.1)),
    "mined": (Term("triplet", "explicit"),),
}
SETTINGS = {
    "softmax": Settings(3, optimiser="sgd", learning_rate=0.05, weight_decay=5e-4),
    "sum": Settings(3, decay_at=(0.3, 0.7), autocast="bfloat16"),
    "mined": Settings(
        3, backbone="resnet", partners="offline-semi-hard", mine_every=5, sampler="balanced"
    ),
}


def job(name: str, seed: int, **changes) -> Job:
    settings = dataclasses.replace(SETTINGS[name], **{"evaluation_images": 100, **changes})
    return Job("closed", name, TERMS[name], "digits", seed, settings)


def stop_after(epoch: int):
    def progress(at: Underway) -> None:
        if at.epoch == epoch:
            raise KeyboardInterrupt

    return progress


def assert_same(result: TrainingResult, expected: TrainingResult) -> None:
    assert (result.status, result.reason) == ("ok", "")
    assert without_times(result.epochs) == without_times(expected.epochs)
    assert result.series == expected.series
    assert "test" not in result.series and len(result.series) > 5


def weights(folder: Path) -> dict[str, torch.Tensor]:
    saved = backbones.read(next((folder / "models").iterdir()))
    return {**saved["network"], **saved["beside"]}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("epoch", [0, 2, 3])
def test_a_stopped_training_goes_on_bit_for_bit(name: str, epoch: int, seed: int, tmp_path: Path):
    of = job(name, seed)
    expected = training.run(of, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        training.run(of, tmp_path / "cut", progress=stop_after(epoch))
    assert len(list((tmp_path / "cut" / "checkpoints").iterdir())) == 1
    torch.manual_seed(seed + 1)  # nothing outside may matter
    calls = []
    result = training.run(of, tmp_path / "cut", progress=lambda at: calls.append(at.epoch))
    assert_same(result, expected)
    assert calls == list(range(epoch + 1, 4))
    assert result.settings["checkpoint"] == f"resumed after epoch {epoch}"
    assert not list((tmp_path / "cut" / "checkpoints").iterdir())
    assert result.metrics["train_time_s"] > 0
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_killed_process_is_gone_on_from(seed: int, tmp_path: Path):
    of = job("sum", seed)
    script = "tests/support/stopped_training.py"
    killed = subprocess.run(
        [sys.executable, script, tmp_path, "1", json.dumps(of.plain())],
        cwd=ROOT, env={"PYTHONPATH": os.pathsep.join(library.paths()), "PATH": ""}, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    result = training.run(of, tmp_path)
    assert result.settings["checkpoint"] == "resumed after epoch 1"
    assert_same(result, training.run(of))


def test_a_checkpoint_of_something_else_or_damaged_is_not_gone_on_from(
    seed: int, tmp_path: Path, monkeypatch
):
    of = job("softmax", seed)
    expected = training.run(of)

    def interrupted(of: Job) -> Path:
        with pytest.raises(KeyboardInterrupt):
            training.run(of, tmp_path, progress=stop_after(1))
        return next((tmp_path / "checkpoints").iterdir())

    path = interrupted(of)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = training.run(of, tmp_path)
    assert result.settings["checkpoint"] == "started anew: the checkpoint is damaged"
    assert_same(result, expected)

    interrupted(job("softmax", seed, weight_decay=0.0))  # of the same name
    result = training.run(of, tmp_path)
    assert result.settings["checkpoint"] == "started anew: the checkpoint is of another job"
    assert_same(result, expected)

    interrupted(of)
    data = datasets.digits()
    swapped = {**data.splits, "train": data.splits["train"].flip(0)}
    other = dataclasses.replace(data, splits=swapped)
    monkeypatch.setattr(datasets, "load", lambda name: other)
    result = training.run(of, tmp_path)
    assert result.settings["checkpoint"] == "started anew: the checkpoint is of another dataset"
    monkeypatch.undo()

    interrupted(of)
    result = training.run(of, tmp_path, resume=False)
    assert result.settings["checkpoint"] == "kept while training"
    assert_same(result, expected)


def test_a_training_that_failed_goes_on_once_that_is_mended(seed: int, tmp_path: Path, monkeypatch):
    of = job("softmax", seed)
    expected = training.run(of)
    real = Run.train_step

    def failing(self, *arguments):
        if self.epoch == 2:
            raise OSError("planted: the disk is gone")
        return real(self, *arguments)

    monkeypatch.setattr(Run, "train_step", failing)
    failed = training.run(of, tmp_path)
    assert (failed.status, failed.reason) == ("not_run", "OSError: planted: the disk is gone")
    monkeypatch.undo()
    result = training.run(of, tmp_path)
    assert result.settings["checkpoint"] == "resumed after epoch 2"
    assert_same(result, expected)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_checkpoint_is_cut_off_nowhere_without_being_reported(seed: int, tmp_path: Path):
    checkpoint = Checkpoint(tmp_path, "x", {"job": 1})
    assert checkpoint.load() is None
    checkpoint.save({"step": 3})
    assert checkpoint.load() == {"step": 3}
    whole = checkpoint.path.read_bytes()
    for kept in (0, 10, 64, 65, len(whole) - 1):
        checkpoint.path.write_bytes(whole[:kept])
        with pytest.raises(Unusable, match="damaged"):
            checkpoint.load()


def test_names_of_files_are_safe_and_apart():
    names = ["a/b c", "a/b_c", "folder:/x/../y" + "z" * 300]
    files = [safe_name(name) for name in names]
    assert len(set(files)) == 3
    assert all(len(f) < 140 and "/" not in f and not f.startswith(".") for f in files)


def test_a_kept_network_embeds_as_it_did(seed: int, tmp_path: Path):
    of = job("mined", seed, last_relu=True, dim=3, evaluation_images=10_000, evaluate_every=3)
    result = training.run(of, tmp_path)
    path = next((tmp_path / "models").iterdir())
    network = backbones.load(path)
    assert not network.training
    data = datasets.digits()
    images, labels = data.split("test")
    with torch.no_grad():
        x_ND = torch.nn.functional.normalize(network(images))
    from benchmarks.training import metrics, verification

    pairs = verification.verification_pairs(labels)
    found = metrics.evaluate(x_ND, labels, pairs)
    assert found["map_at_r"] == pytest.approx(result.metrics["map_at_r"], abs=1e-4)
    facts = backbones.read(path)["facts"]
    assert Job.from_plain(facts["job"]) == of
    for study, kept in (("search", 1), ("training", 1), ("claims/x", 2)):
        training.run(dataclasses.replace(job("softmax", seed), study=study), tmp_path)
        assert len(list((tmp_path / "models").iterdir())) == kept, study


def test_what_is_reported_holds_every_epoch_also_after_a_resumption(seed: int, tmp_path: Path):
    of, cut, on = job("softmax", seed), list[Underway](), list[Underway]()

    def stop(at: Underway) -> None:
        cut.append(at)
        stop_after(2)(at)

    with pytest.raises(KeyboardInterrupt):
        training.run(of, tmp_path, stop)
    result = training.run(of, tmp_path, on.append)
    assert [(at.epoch, len(at.result.epochs)) for at in (*cut, *on)] == [
        (0, 1), (1, 2), (2, 3), (3, 4)
    ]  # fmt: skip
    for at in (*cut, *on):
        assert (at.result.name, at.result.status, at.epochs) == (of.name, "running", 3)
        assert at.result.settings["steps"] == 36 and at.facts["source"]
        assert at.result.epochs == result.epochs[: at.epoch + 1]
