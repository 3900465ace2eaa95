"""The mirror of a training in MLflow: what it holds, and that losing it costs nothing else."""

from __future__ import annotations

import math
import os
import socket
import sys
from pathlib import Path

import pytest
import torch
from quality_cases import FAST, instead, planted_losses, trained, without_times

from benchmarks.records.kinds import KEY
from benchmarks.training import training
from benchmarks.training.datasets import digits
from benchmarks.training.tracking import store, without_secrets
from marginbench import catalogue


@pytest.fixture
def planted(tmp_path: Path, monkeypatch):
    """Declares losses that misbehave, see `quality_cases.planted_losses`."""
    yield from planted_losses(tmp_path, monkeypatch)


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


@pytest.fixture
def no_waiting_for_the_disk():
    """SQLite commits without waiting for the disk: mlflow makes a store in hundreds of commits."""
    event = pytest.importorskip("sqlalchemy").event
    engine = pytest.importorskip("sqlalchemy.engine").Engine

    def hurry(connection, _record):
        if type(connection).__module__ == "sqlite3":
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(engine, "connect", hurry)
    yield
    event.remove(engine, "connect", hurry)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # mlflow's own use of sqlalchemy
def test_mlflow_holds_what_the_result_says(
    planted, monkeypatch, seed: int, tmp_path: Path, no_network, no_waiting_for_the_disk, capfd
):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    softmax, diverging = catalogue.get("softmax"), planted("diverging")
    tags = {"commit": "0123abc", "torch": torch.__version__}
    for losses in ((softmax,), (softmax, diverging)):  # the first again, as if killed before
        instead(monkeypatch, *losses)
        results = list(training.run_all(FAST, out, seed, tags=tags))
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
    held = {run.data.tags[KEY]: run for run in client.search_runs([experiment.experiment_id])}
    assert fine.mlflow["store"] == "mlflow.db"
    run = held[fine.mlflow["key"]]
    assert run.info.run_name == fine.name
    ours = {k: v for k, v in run.data.metrics.items() if not k.startswith("system/")}
    assert ours == {k: v for k, v in fine.metrics.items() if v is not None}
    assert run.data.metrics["system/system_memory_usage_percentage"] > 0
    history = client.get_metric_history(run.info.run_id, "recall_at_1")
    assert [(m.step, m.value) for m in history] == [
        (int(row["epoch"]), row["recall_at_1"]) for row in fine.epochs
    ]
    assert run.data.params["dataset_sha256"] == digits().manifest
    assert run.data.params["seed"] == str(seed)
    assert run.data.tags["mlflow.source.git.commit"] == "0123abc"
    assert run.data.tags["torch"] == torch.__version__
    files = {a.path for a in client.list_artifacts(run.info.run_id)}
    figures = {"embeddings.png", "roc.png", "distances.png"}
    assert files == {*figures, "job.json", "manifest.json"}

    run = held[bad.mlflow["key"]]
    assert run.info.status == "FAILED"
    assert "recall_at_1" in run.data.tags["not_finite"]
    assert run.data.tags["reason"] == bad.reason
    assert all(math.isfinite(value) for value in run.data.metrics.values())


def test_without_mlflow_the_result_is_whole(seed: int, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    instead(monkeypatch, catalogue.get("softmax"))
    (result,) = training.run_all(FAST, tmp_path, seed)
    assert result.mlflow == {"reason": "mlflow is not installed"}
    assert result.status == "ok" and result.epochs
    assert not list(tmp_path.glob("mlflow*"))


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
    instead(monkeypatch, catalogue.get("softmax"), catalogue.get("center"))
    expected = trained("softmax", seed)
    results = list(training.run_all(FAST, tmp_path, seed))
    assert without_times(results[0].epochs) == without_times(expected.epochs)
    for result in results:
        assert result.status == "ok"
        assert set(result.mlflow) == {"reason"}
        assert "secret" not in result.mlflow["reason"]
    assert "secret" not in (tmp_path / "mlflow.down").read_text()


def test_secrets_in_an_address_are_left_out():
    assert without_secrets("postgresql://me:pw@host/db is gone") == "postgresql://host/db is gone"
    assert without_secrets("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hid/den@host/db",  # SQLAlchemy takes a password with a slash
        "postgresql://me:hid den@host/db is gone",
        "http://me:to/hidden@127.0.0.1:9",
        "postgresql://host/db?user=me&sslpassword=hidden",
        "mysql://me:a@host/db?ssl_passwd=hidden",
        "https://server/api?access_token=hidden",
        "https://server/api?secret_access_key=hidden&api_key=hidden",
        "mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dhidden",
    ],
)
def test_odd_secrets_in_an_address_are_left_out(text: str):
    left = without_secrets(text)
    assert "hid" not in left and "den" not in left
    assert left.partition("://")[0] == text.partition("://")[0]
    assert "host" in left or "host" not in text


def test_a_reason_is_cut_only_after_its_secrets_are_left_out():
    reason = store.reason(OSError("x" * 270 + " postgresql://me:hidden@host/db"))
    assert "hid" not in reason and len(reason) <= 300


def test_listing_and_importing_the_suite_does_not_import_mlflow():
    import subprocess

    code = "import sys, benchmarks.training.training; print('mlflow' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert printed.stdout.strip() == "False"
