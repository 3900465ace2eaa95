"""Two processes log at once to a real MLflow server, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking_cases import RUN, recorded, result

from benchmarks import library
from benchmarks.training.tracking import export, import_, sync
from benchmarks.training.tracking.store import Store

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ROOT = Path(__file__).resolve().parents[3]
_UP_S = 120


def _postgres_programs() -> Path | None:
    found = [Path(p) for p in [shutil.which("initdb")] if p]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[-3])
    for program in [*reversed(debian), *(p.resolve() for p in found)]:
        if (program.parent / "postgres").exists():
            return program.parent
    return None


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a cluster of this test's own, on a socket in a folder of its own."""
    pytest.importorskip("psycopg", reason="needs psycopg")
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL: no initdb here")
    user: list[str] = []
    # Its socket's path has to be short: not below pytest's own folder.
    folder = Path(tempfile.mkdtemp(prefix="mb-pg-", dir="/tmp"))
    if os.geteuid() == 0:  # it refuses root
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv: PostgreSQL refuses root")
        shutil.chown(folder, "nobody")
        user = ["setpriv", "--reuid=nobody", "--clear-groups"]
    data = str(folder / "data")
    process = None
    try:
        subprocess.run(
            [*user, programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync"],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        process = subprocess.Popen(
            [*user, programs / "postgres", "-D", data, "-k", folder, "-h", "", "-F"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        until = time.monotonic() + _UP_S
        ready = [programs / "pg_isready", "-h", folder, "-q"]
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < until and process.poll() is None, "PostgreSQL did not start"
            time.sleep(0.05)
        yield f"postgresql+psycopg://tester:secret@/postgres?host={folder}"
    finally:
        if process:
            process.send_signal(signal.SIGINT)  # at once, its clients cut off
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an MLflow server with that database."""
    database = f"sqlite:///{tmp_path / 'server.db'}"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database,
         "--artifacts-destination", tmp_path / "files", "--host", "127.0.0.1",
         "--port", str(port), "--workers", "1"],
        stdout=log, stderr=log, cwd=tmp_path, start_new_session=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true",
             "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )  # fmt: skip
    try:
        uri = f"http://127.0.0.1:{port}"
        until = time.monotonic() + _UP_S
        while True:
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1).close()
                break
            except OSError:
                said = (tmp_path / "server.log").read_text(errors="replace")[-2000:]
                assert time.monotonic() < until and process.poll() is None, said
                time.sleep(0.1)
        yield uri
    finally:
        # Its workers are in its session, and die with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def test_two_processes_log_at_once_to_a_server(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    # A busy machine with two cores: this test is not about how soon a server is given up.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    out, script = tmp_path / "run", Path(__file__).parents[2] / "support" / "tracking_cases.py"
    out.mkdir()
    writers = [
        subprocess.Popen(
            [sys.executable, script, out, "", str(first), str(first + 2)], cwd=ROOT,
            env=library.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for first in (0, 2)
    ]  # fmt: skip
    for writer in writers:
        printed = writer.communicate(timeout=200)[0].decode()
        assert (writer.returncode, printed) == (0, "")
    to = Store(out)
    runs = {run.info.run_name: run for run in to.runs()}
    assert set(runs) == {result(seed).name for seed in range(4)}
    for seed in range(4):
        run = runs[result(seed).name]
        assert run.info.status == "FINISHED"
        history = to.client.get_metric_history(run.info.run_id, "recall_at_1")
        assert [(p.step, p.value) for p in history] == [
            (int(row["epoch"] or 0), row["recall_at_1"]) for row in result(seed).epochs
        ]
    done = sync([recorded(result(seed), run=RUN) for seed in range(5)], out)
    assert (done.sent, done.present, done.failed, done.reason) == (1, 4, 0, "")
    got = to.client.download_artifacts(runs[result(0).name].info.run_id, "job.json", str(tmp_path))
    assert json.loads(Path(got).read_text())["job"] == result(0).job
    assert export(out, tmp_path / "export") == 5
    (tmp_path / "here").mkdir()
    moved = import_(tmp_path / "export", f"sqlite:///{tmp_path / 'here' / 'mlflow.db'}")
    assert (moved.sent, moved.reason) == (5, "")
