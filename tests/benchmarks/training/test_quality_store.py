"""A store that fails costs the mirror alone and is reported; what it missed is sent later, once."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tracking_cases import (
    RUN,
    empty_store,
    heard_to,
    mirrored,
    recorded,
    result,
    with_a_store,
)

from benchmarks import library
from benchmarks.training import backbones, datasets
from benchmarks.training.checkpoints import model_path
from benchmarks.training.tracking import Mirror, export, import_, store, sync
from benchmarks.training.tracking.store import Store
from suites.jobs import TrainingResult

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def out(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return with_a_store(tmp_path / "run", empty, monkeypatch)


def mirror(out: Path, uri: str | None = None) -> Mirror:
    return Mirror(out, uri, {"run": RUN, "commit": "0123abc"})


def lock(out: Path) -> sqlite3.Connection:
    held = sqlite3.connect(out / "mlflow.db", isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    return held


def kept(out: Path, of: TrainingResult) -> None:
    """A file in the place of the training's network, which holds none."""
    path = model_path(out, of.name)
    path.parent.mkdir()
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "how, when",
    [("locked", "before"), ("locked", "mid-run"), ("read-only", "before"), ("deleted", "mid-run")],
)
def test_a_store_that_fails_is_reported_and_synced_later(out: Path, seed: int, how: str, when: str):
    one, other = result(seed), result(seed + 1)
    aside, held = out / "aside.db", None
    mirroring = mirror(out)
    if how == "read-only":
        mirroring = mirror(out, f"sqlite:///file:{out / 'mlflow.db'}?mode=ro&uri=true")
    if when == "mid-run":
        heard_to(mirroring, one, 1)
        assert not mirroring.reason
    if how == "locked":
        held = lock(out)
    if how == "deleted":
        (out / "mlflow.db").rename(aside)
    answer = mirrored(mirroring, one)
    says = {"locked": "locked", "read-only": "readonly", "deleted": "gone"}[how]
    assert says in answer["reason"] and "marginbench quality sync" in answer["reason"]
    assert says in (out / "mlflow.down").read_text()
    began = time.monotonic()
    assert mirrored(mirroring, other) == answer, "not tried again for each training"
    assert time.monotonic() < began + 0.1
    assert mirroring.not_sent() == {answer["reason"]: 2}
    if held:
        held.close()
    if how == "deleted":
        aside.rename(out / "mlflow.db")
    done = sync([recorded(one, mlflow=answer)], out)
    assert (done.sent, done.failed, done.reason) == (1, 0, "")
    assert [run.info.status for run in Store(out).runs()] == ["FINISHED"]
    assert not (out / "mlflow.down").exists()
    if how != "read-only":
        mirroring.try_again()
        assert mirroring.send().sent == 2, "what waited is sent as soon as the store takes it"
        assert mirroring.not_sent() == {}
        runs = {run.info.run_name: run.info.status for run in Store(out).runs()}
        assert runs == {one.name: "FINISHED", other.name: "FINISHED"}
        assert len(list(Store(out).runs())) == 2


@pytest.mark.parametrize(
    "message",
    ["(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id, datasets.name",
     "the experiment already exists"],
)  # fmt: skip
def test_what_another_run_adds_in_between_is_found(
    out: Path, seed: int, monkeypatch: pytest.MonkeyPatch, message: str
):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    called = "log_inputs" if "datasets" in message else "get_experiment_by_name"
    real, asked = getattr(MlflowClient, called), []

    def beaten_once(self: MlflowClient, *args: object, **named: object) -> object:
        asked.append(named)
        if len(asked) == 1:
            raise MlflowException(message)
        return real(self, *args, **named)

    monkeypatch.setattr(MlflowClient, called, beaten_once)
    assert "key" in mirrored(mirror(out), result(seed))
    (run,) = Store(out).runs()
    assert [found.dataset.name for found in run.inputs.dataset_inputs] == ["digits"]
    assert run.info.status == "FINISHED"


def test_what_one_training_does_wrong_is_tried_after_the_others(
    out: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    bad, fine = recorded(result(seed)), recorded(result(seed + 1))
    bad.job = {"seed": object()}  # no file of JSON can be written of it
    mirroring = mirror(out)
    for one in (bad, fine):
        mirroring.take(one)
    assert mirroring.send().sent == 0
    mirroring.try_again()
    done = mirroring.send()
    assert (done.sent, done.failed) == (1, 1)
    assert next(iter(Store(out).complete())) == store.key(RUN, fine.name)


def test_a_training_that_fails_as_it_goes_on_is_no_result(out: Path, seed: int):
    """It is tried again when the run is resumed: nothing that a sync finds done."""
    one, never = result(seed), result(seed + 1)
    mirroring = mirror(out)
    heard_to(mirroring, one, 2)
    for of in (one, never):
        mirroring.hear(dataclasses.replace(of, status="not_run", reason="OSError: gone", epochs=[]))
    mirroring.send()
    (run,) = Store(out).runs()
    assert run.info.status == "FAILED" and run.data.tags["reason"] == "OSError: gone"
    assert run.data.metrics["recall_at_1"] == one.epochs[1]["recall_at_1"]
    assert sync([recorded(one)], out).sent == 1
    (run,) = Store(out).runs()
    assert run.info.status == "FINISHED" and "reason" not in run.data.tags


def test_sync_reports_what_fails(out: Path, seed: int):
    held = lock(out)
    done = sync([recorded(result(seed)), recorded(result(seed + 1))], out)
    held.close()
    assert (done.sent, done.present, done.failed) == (0, 0, 2)
    assert "locked" in done.reason


def test_a_run_that_was_killed_is_replaced_by_sync(out: Path, seed: int):
    script = Path(__file__).parents[2] / "support" / "tracking_cases.py"
    killed = subprocess.run(
        [sys.executable, script, out, "", str(seed), str(seed + 1), "kill"], cwd=ROOT,
        env=library.environment(), capture_output=True, timeout=120,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    assert [run.info.status for run in Store(out).runs()] == ["RUNNING"]
    assert sync([recorded(result(seed))], out).sent == 1
    (run,) = Store(out).runs()
    assert run.info.status == "FINISHED"


def test_sync_sends_the_facts_of_the_dataset_that_was_trained_on(out: Path, seed: int):
    known = datasets.load("digits")
    one, trial, other = result(seed), result(seed, "search"), result(seed + 1)
    one.settings["dataset_sha256"] = known.manifest  # the other's is another dataset's
    trial.settings["dataset_sha256"] = known.validation().manifest
    assert sync([recorded(one), recorded(trial), recorded(other)], out).sent == 3
    client, found = Store(out).client, {}
    for run in Store(out).runs("tags.status = 'ok'"):
        path = client.download_artifacts(run.info.run_id, "manifest.json")
        found[run.info.run_name] = json.loads(Path(path).read_text())["facts"]
    assert found == {one.name: known.facts, trial.name: known.facts, other.name: {}}


def test_sync_sends_once_what_a_record_holds(out: Path, seed: int):
    fine, bad, trial = (
        result(seed),
        result(seed, "closed", "worse", 2, "x/y"),
        result(seed, "search"),
    )
    never = dataclasses.replace(result(seed, arm="z/z"), status="not_run", epochs=[])
    assert "key" in mirrored(mirror(out), fine)
    lines = [recorded(each) for each in (fine, bad, trial, never)]
    seen: list[tuple[int, int]] = []
    done = sync(lines, out, progress=lambda name, done, of: seen.append((done, of)))
    assert (done.sent, done.present, done.failed, done.reason) == (2, 1, 0, "")
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert sync(lines, out).present == 3
    runs = {run.info.run_name: run for run in Store(out).runs()}
    assert len(runs) == 4, "three and the search's own"
    run = runs[bad.name]
    assert run.info.status == "FAILED" and run.data.tags["reason"] == bad.reason
    assert set(run.data.tags["not_finite"].split(", ")) >= {"train_loss", "recall_at_1"}
    # What was measured when: the record's time, less what was still to train.
    history = Store(out).client.get_metric_history(run.info.run_id, "map_at_r")
    assert [(p.step, p.value) for p in history] == [(e, bad.epochs[e]["map_at_r"]) for e in (0, 1)]
    assert history[1].timestamp - history[0].timestamp == 500
    above = runs["search/digits/softmax/eager/cpu"]
    assert runs[trial.name].data.tags["mlflow.parentRunId"] == above.info.run_id
    assert runs[fine.name].data.tags["not_defined"] == "train_accuracy"
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"


def test_an_export_is_moved_and_made_a_store_of(out: Path, seed: int, tmp_path: Path, empty: Path):
    for one in (result(seed), result(seed, "search"), result(seed + 1, "search")):
        assert "key" in mirrored(mirror(out), one)
    assert export(out, out / "export") == 4
    again = tmp_path / "again"
    export(out, again)
    moved = tmp_path / "moved"
    (out / "export").rename(moved)
    shutil.rmtree(out)
    files = {p.relative_to(moved): p.read_bytes() for p in moved.rglob("*") if p.is_file()}
    assert files == {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}
    assert not any(str(tmp_path).encode() in text for text in files.values())
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    (tmp_path / "new").mkdir()
    done = import_(moved, uri)
    assert (done.sent, done.present, done.failed, done.reason) == (4, 0, 0, "")
    assert import_(moved, uri).present == 4
    there = Store(tmp_path / "new", uri)
    runs = {run.info.run_name: run for run in there.runs()}
    run = runs[result(seed).name]
    history = there.client.get_metric_history(run.info.run_id, "recall_at_1")
    assert [p.value for p in history] == [row["recall_at_1"] for row in result(seed).epochs]
    got = there.client.download_artifacts(run.info.run_id, "job.json", str(tmp_path))
    assert json.loads(Path(got).read_text())["job"] == result(seed).job
    parent = runs["search/digits/softmax/eager/cpu"].info.run_id
    assert runs[result(seed, "search").name].data.tags["mlflow.parentRunId"] == parent
    with pytest.raises(ValueError, match="expected an export"):
        import_(tmp_path, uri)


def test_the_model_comes_back_with_its_signature(out: Path, seed: int, monkeypatch):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))
    monkeypatch.setattr(backbones, "load", lambda path: network, raising=False)
    facts = {"facts": {"image_shape": [1, 2, 3]}}
    monkeypatch.setattr(backbones, "read", lambda path: facts, raising=False)
    kept(out, result(seed))
    mirrored(mirror(out), result(seed))
    import mlflow.pytorch

    (run,) = Store(out).runs()
    assert "model_missing" not in run.data.tags
    back = mlflow.pytorch.load_model(f"{run.info.artifact_uri}/model")
    image = torch.rand(2, 1, 2, 3)
    assert torch.equal(back(image), network(image))
    folder = run.info.artifact_uri.removeprefix("file://")
    signature = mlflow.models.Model.load(f"{folder}/model").signature
    assert signature.inputs.inputs[0].shape == (-1, 1, 2, 3)
    assert signature.outputs.inputs[0].shape == (-1, 3)


def test_a_model_that_can_not_be_read_costs_itself_alone(out: Path, seed: int):
    kept(out, result(seed))
    mirrored(mirror(out), result(seed))
    (run,) = Store(out).runs()
    assert run.info.status == "FINISHED" and run.data.tags["model_missing"]
