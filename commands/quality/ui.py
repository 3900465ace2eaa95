"""``marginbench quality ui``: MLflow's pages on a run's store."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import click

from ..endings import fail
from ..messages import say
from ..parameters import Whole
from ..paths import newest_quality_run

_HOST = "127.0.0.1"
_FIRST_PORT = 5000
_UP_S = 300.0


@click.command()
@click.argument("run_dir", required=False, type=click.Path(path_type=Path, file_okay=False,
                                                           exists=True))  # fmt: skip
@click.option("--port", type=Whole(1, 65535), default=None,
              help="Port to listen on.  [default: 5000, or the next free one]")  # fmt: skip
def ui(run_dir: Path | None, port: int | None) -> None:
    """Serve MLflow's pages of a run; Ctrl-C ends them.

    RUN_DIR is the run's folder, by default the newest run. A run without a store of its own was
    sent to MLFLOW_TRACKING_URI: if that is a database, it is shown. The address is printed as soon
    as the pages answer, some seconds later. Only this machine can reach them.

    \b
    Examples:
      marginbench quality ui
      marginbench quality ui reports/out/quality/RUN --port 5001

    \b
    Exit codes:
      0  ended by Ctrl-C
      2  bad usage
      3  there is no store, it is a server with pages of its own, or MLflow's server failed
    """
    run_dir = run_dir or newest_quality_run()
    store = _store(run_dir)
    if port is not None and not _is_free(port):
        raise click.BadParameter(f"{port} is taken by another program", param_hint="--port")
    _serve(store, port or _free_port(), run_dir)


def _store(run_dir: Path) -> str:
    """The address of the database to show."""
    from benchmarks.training import tracking

    own = run_dir.resolve() / tracking.OWN
    if own.is_file():
        return tracking.of_database(own)
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if given.startswith(("http://", "https://")):
        fail(f"the run's trainings are at {tracking.without_secrets(given)}: open it there")
    if not given:
        fail(f"expected MLflow's store in {run_dir}; there is none: "
             f"marginbench quality sync {shlex.quote(str(run_dir))}")  # fmt: skip
    return given


def _serve(store: str, port: int, run_dir: Path) -> None:
    # One process, and none for jobs: by itself MLflow starts ten, and takes half a minute.
    command = [
        sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(port),
        "--workers", "1", "--uvicorn-opts", "--log-level warning",
    ]  # fmt: skip
    # The store by the environment: a command line, with a password in it, is open to all users.
    environment = {
        **os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_BACKEND_STORE_URI": store,
    }  # fmt: skip
    environment.pop("MLFLOW_TRACKING_URI", None)
    address = f"http://{_HOST}:{port}"
    say(f"MLflow on {run_dir} starts ...", err=True)
    # Its own words are no answer of ours: to where errors go.
    with subprocess.Popen(command, env=environment, stdout=2) as server:
        try:
            if _answers(address, server):
                say(f"{address}  (Ctrl-C ends it)")
            code = server.wait()
        except KeyboardInterrupt:
            return
        finally:
            server.terminate()
    if code != 0:
        fail(f"MLflow's server ended with exit code {code}")


def _answers(address: str, server: subprocess.Popen[bytes]) -> bool:
    """Waits until the pages are there; False where the server ends before."""
    # No proxy: the address is this machine's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + _UP_S
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            opener.open(f"{address}/health", timeout=2).close()
            return True
        time.sleep(0.1)
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((_HOST, port))
            return True
    return False


def _free_port() -> int:
    free = (port for port in range(_FIRST_PORT, _FIRST_PORT + 100) if _is_free(port))
    return next(free, _FIRST_PORT)
