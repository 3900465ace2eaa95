"""A store that fails costs the mirror alone and is reported; what it missed is sent later, once."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tracking_cases import RUN, mirrored, recorded, result

from benchmarks import library
from benchmarks.training import backbones, datasets
from benchmarks.training.tracking import Mirror, export, import_, store, sync
from benchmarks.training.tracking.store import Store

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: to make one takes two seconds."""
    folder = tmp_path_factory.mktemp("empty")
    Store(folder, f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


@pytest.fixture
def out(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run's folder with a store of its own; its files lie there too."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(store, "WAIT_S", 0.2)
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        at = (folder / "mlartifacts").as_uri()
        database.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?",
                         (at, store.EXPERIMENT))  # fmt: skip
    database.close()
    yield folder


def mirror(out: Path, uri: str | None = None) -> Mirror:
    return Mirror(out, {"run": RUN, "commit": "0123abc"}, uri)


def lock(out: Path) -> sqlite3.Connection:
    held = sqlite3.connect(out / "mlflow.db", isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    return held


# A store that was never there is made, and a connection that could write goes on writing.
@pytest.mark.parametrize(
    "how, when",
    [("locked", "before"), ("locked", "mid-run"), ("read-only", "before"), ("deleted", "mid-run")],
)
def test_a_store_that_fails_is_reported_and_synced_later(out: Path, seed: int, how: str, when: str):
    one, uri = result(seed), None
    aside, held = out / "aside.db", None
    mirroring = mirror(out)
    if how == "read-only":
        mirroring = mirror(out, f"sqlite:///file:{out / 'mlflow.db'}?mode=ro&uri=true")
    if when == "mid-run":
        from suites.quality.jobs import Job

        mirroring.begin(Job.from_plain(one.job), one.settings)
        mirroring.epoch(one.epochs[0])
    if how == "locked":
        held = lock(out)
    if how == "deleted":
        (out / "mlflow.db").rename(aside)
    if when == "mid-run":
        for row in one.epochs[1:]:
            mirroring.epoch(row)
        answer = mirroring.end(one, None)
    else:
        answer = mirrored(mirroring, one)
    says = {"locked": "locked", "read-only": "readonly", "deleted": "gone"}[how]
    assert says in answer["reason"] and "marginbench quality sync" in answer["reason"]
    assert mirrored(mirroring, result(seed + 1)) == answer, "not tried again for each training"
    if how != "read-only":
        assert mirrored(mirror(out, uri), one) == answer, "nor by another process"
    if held:
        held.close()
    if how == "deleted":
        aside.rename(out / "mlflow.db")
    done = sync([recorded(one, mlflow=answer)], out)
    assert (done.sent, done.failed, done.reason) == (1, 0, "")
    assert [run.info.status for run in Store(out).runs()] == ["FINISHED"]
    assert "run_id" in mirrored(mirror(out), result(seed + 1)), "a sync that succeeds ends the wait"


@pytest.mark.parametrize(
    "message",
    ["(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id, datasets.name",
     '(psycopg.errors.UniqueViolation) duplicate key value violates "dataset_pk"',
     "(pymysql.err.IntegrityError) (1062, \"Duplicate entry '1-digits-ab' for key 'PRIMARY'\")"],
)  # fmt: skip
def test_a_dataset_that_another_training_adds_in_between_is_found(
    out: Path, seed: int, monkeypatch: pytest.MonkeyPatch, message: str
):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logged, asked = MlflowClient.log_inputs, []

    def beaten_once(self: MlflowClient, *args: object, **named: object) -> None:
        asked.append(named)
        if len(asked) == 1:
            raise MlflowException(message)
        logged(self, *args, **named)

    monkeypatch.setattr(MlflowClient, "log_inputs", beaten_once)
    assert "run_id" in mirrored(mirror(out), result(seed))
    (run,) = Store(out).runs()
    assert [found.dataset.name for found in run.inputs.dataset_inputs] == ["digits"]
    asked.clear()
    message = "the disk is full"
    assert "the disk is full" in mirrored(mirror(out), result(seed + 1))["reason"]
    assert len(asked) == 1


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
    live = mirrored(mirror(out), fine)
    assert "run_id" in live
    other = {"kind": "case_end", "case": "x", "seconds": 1.0}
    lines = [other, *({"kind": "training", **vars(recorded(r))} for r in (fine, bad, trial, never))]
    (out / "records.jsonl").write_text(
        "".join(json.dumps(x) + "\n" for x in lines) + '{"kind": "tr'
    )
    seen: list[tuple[int, int]] = []
    done = sync(out / "records.jsonl", out, progress=lambda name, done, of: seen.append((done, of)))
    assert (done.sent, done.present, done.failed, done.reason) == (2, 1, 0, "")
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert sync(out / "records.jsonl", out).present == 3
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
        assert "run_id" in mirrored(mirror(out), one)
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
    got = there.client.download_artifacts(run.info.run_id, "roc.png", str(tmp_path))
    assert Path(got).read_bytes().startswith(b"\x89PNG")
    parent = runs["search/digits/softmax/eager/cpu"].info.run_id
    assert runs[result(seed, "search").name].data.tags["mlflow.parentRunId"] == parent
    with pytest.raises(ValueError, match="expected an export"):
        import_(tmp_path, uri)


def test_the_model_comes_back_with_its_signature(out: Path, seed: int, monkeypatch):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))
    monkeypatch.setattr(backbones, "load", lambda path: network, raising=False)
    facts = {"facts": {"image_shape": [1, 2, 3]}}
    monkeypatch.setattr(backbones, "read", lambda path: facts, raising=False)
    answer = mirrored(mirror(out), result(seed), out / "any.pt")
    import mlflow.pytorch

    run = Store(out).client.get_run(answer["run_id"])
    assert "model_missing" not in run.data.tags
    back = mlflow.pytorch.load_model(f"{run.info.artifact_uri}/model")
    image = torch.rand(2, 1, 2, 3)
    assert torch.equal(back(image), network(image))
    folder = run.info.artifact_uri.removeprefix("file://")
    signature = mlflow.models.Model.load(f"{folder}/model").signature
    assert signature.inputs.inputs[0].shape == (-1, 1, 2, 3)
    assert signature.outputs.inputs[0].shape == (-1, 3)


def test_a_model_that_can_not_be_read_costs_itself_alone(out: Path, seed: int):
    answer = mirrored(mirror(out), result(seed), out / "none.pt")
    run = Store(out).client.get_run(answer["run_id"])
    assert run.info.status == "FINISHED" and run.data.tags["model_missing"]


def test_nothing_is_left_running(out: Path, seed: int):
    before = set(threading.enumerate())
    mirrored(mirror(out), result(seed))
    assert set(threading.enumerate()) <= before
