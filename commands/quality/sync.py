"""``marginbench quality sync``: sends to MLflow what it lacks."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.records import folders, kinds

from .. import progress
from ..paths import Folder, newest_quality_run
from . import stores


@click.command()
@click.argument("run_dir", required=False, type=Folder(exists=True))
@click.option("--store", help="MLflow's address.  [default: MLFLOW_TRACKING_URI, else the run's "
              "own store]")  # fmt: skip
def sync(run_dir: Path | None, store: str | None) -> None:
    """Send to MLflow what it lacks of a run.

    RUN_DIR is the run's folder, by default the newest run. For a store that was locked, absent or
    read-only while the run trained, or for another store. What MLflow has is not sent again.

    \b
    Examples:
      marginbench quality sync
      marginbench quality sync reports/out/quality/RUN --store sqlite:////path/mlflow.db

    Exit codes: 0 MLflow has all, 2 bad usage, or no run yet, 3 the store refused, or the record is
    damaged.
    """
    from benchmarks.training import tracking

    folder = run_dir or newest_quality_run()
    records = stores.records(folder)
    folders.expect(folder, kinds.QUALITY, "RUN_DIR")
    with progress.shown() as report:
        outcome = tracking.sync(records, folder, store, progress.named(report))
    stores.report(outcome, f"{folder} to MLflow")
