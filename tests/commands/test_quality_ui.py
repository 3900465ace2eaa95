"""MLflow's pages are really served, and nothing is left running when they are ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import library
from benchmarks.training.tracking.store import EXPERIMENT, Store
from commands.root import cli

ROOT = Path(__file__).resolve().parents[2]
_UP_S = 120


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def processes_of(session: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_pages_answer_and_end_whole(tmp_path: Path, how: signal.Signals):
    pytest.importorskip("mlflow")
    Store(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "commands", "quality", "ui", tmp_path, "--port", str(port)],
            cwd=ROOT, env=library.environment(), stdout=subprocess.PIPE,
            stderr=errors, text=True, start_new_session=True,
        )  # fmt: skip
    try:
        assert process.stdout
        said = process.stdout.readline()
        assert said.startswith(f"http://127.0.0.1:{port} "), log.read_text()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/", timeout=_UP_S) as page:
            assert b"<!doctype html>" in page.read().lower()
        # The run's own store, and not one that MLflow makes where it is given none.
        search = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=10"
        with opener.open(search, timeout=_UP_S) as answer:
            names = [one["name"] for one in json.load(answer)["experiments"]]
        assert EXPERIMENT in names
        # Itself and the server: by default MLflow would start ten.
        assert len(processes_of(process.pid)) <= 4
        if how == signal.SIGINT:
            os.killpg(process.pid, how)  # as a terminal does
        else:
            process.send_signal(how)
        assert process.wait(_UP_S) == (0 if how == signal.SIGINT else 128 + how)
        until = time.monotonic() + 10
        while processes_of(process.pid) and time.monotonic() < until:
            time.sleep(0.05)
        assert processes_of(process.pid) == []
    finally:
        for left in processes_of(process.pid):
            os.kill(left, signal.SIGKILL)
        process.wait()


def test_a_password_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Which every user of the machine can read by `ps`, as no one else can the environment."""
    store, started = "postgresql://me:secret@127.0.0.1/mlflow", []

    def popen(command: list[str], env: dict[str, str], **_: object) -> None:
        started.append((command, env))
        raise NotImplementedError("not really started")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr(subprocess, "Popen", popen)
    result = CliRunner().invoke(cli, ["quality", "ui", str(tmp_path)])
    assert result.exit_code == 3 and "not really started" in result.output
    ((command, env),) = started
    assert "secret" not in " ".join(command)
    assert env["MLFLOW_BACKEND_STORE_URI"] == store and "MLFLOW_TRACKING_URI" not in env


def test_a_port_that_is_taken_is_2_and_no_store_3(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = CliRunner().invoke(cli, ["quality", "ui", str(tmp_path)])
    assert result.exit_code == 3 and "quality sync" in result.output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@elsewhere")
    result = CliRunner().invoke(cli, ["quality", "ui", str(tmp_path)])
    assert result.exit_code == 3 and "https://elsewhere" in result.output
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli, ["quality", "ui", str(tmp_path), "--port", str(port)])
    assert result.exit_code == 2 and "is taken" in result.output
