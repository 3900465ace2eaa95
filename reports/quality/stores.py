"""``marginbench quality sync | export | import | ui``: MLflow's side of a run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import click

Folder = click.Path(path_type=Path, file_okay=False, exists=True)
_HOST = "127.0.0.1"
_FIRST_PORT = 5000


@click.command()
@click.argument("run_dir", required=False, type=Folder)
@click.option("--store", default="", help="MLflow's address.  [default: MLFLOW_TRACKING_URI, else "
              "the run's own store]")  # fmt: skip
def sync(run_dir: Path | None, store: str) -> None:
    """Send to MLflow what it lacks of a run (by default the newest).

    For a store that was locked, gone or read-only while the run trained, or another one. Exit
    codes: 0 all is there, 3 the store can't be reached.
    """
    raise NotImplementedError


@click.command()
@click.argument("run_dir", required=False, type=Folder)
@click.option("--port", type=click.IntRange(1, 65535), default=None,
              help="Where to listen.  [default: 5000, or the next that is free]")  # fmt: skip
def ui(run_dir: Path | None, port: int | None) -> None:
    """Open MLflow's pages on a run's own store (by default the newest run's); Ctrl-C ends them.

    They are served to this machine alone. Exit codes: 0 ended by Ctrl-C, 3 there is no store.
    """
    from .commands import fail, newest

    run_dir = run_dir or newest()
    store = run_dir.resolve() / "mlflow.db"
    if not store.is_file():
        fail(f"expected MLflow's store in {run_dir}; there is none: "
             f"marginbench quality sync {run_dir}", 3)  # fmt: skip
    chosen = port or _free_port()
    click.echo(f"MLflow on {run_dir}: http://{_HOST}:{chosen}  (Ctrl-C ends it)")
    command = [
        sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", str(chosen),
        "--backend-store-uri", f"sqlite:///{store}",
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with subprocess.Popen(command, env=environment) as server:
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return
    if code != 0:
        fail(f"MLflow's server ended with exit code {code}", 1)


def _free_port() -> int:
    for port in range(_FIRST_PORT, _FIRST_PORT + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            return port
    return _FIRST_PORT


def register(group: click.Group) -> None:
    for command in (sync, ui):
        group.add_command(command)
