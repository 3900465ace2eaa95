"""``marginbench quality export``: what MLflow holds of a run, as files."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.records import folders, kinds

from .. import progress
from ..endings import fail
from ..messages import say
from ..paths import Folder
from . import stores


@click.command("export")
@click.argument("run_dir", type=Folder(exists=True))
@click.argument("target", type=Folder())
@click.option("--store", help="MLflow's address.  [default: as for sync]")
@click.option("--models", is_flag=True, help="Export the networks too.")
def export_command(run_dir: Path, target: Path, store: str | None, models: bool) -> None:
    """Export what MLflow holds of a run, as files that can be moved.

    RUN_DIR is the run's folder. TARGET is new or empty, or an earlier export, which is replaced.
    Unlike MLflow's own files, an export holds no absolute paths; `import` puts it into a store.

    \b
    Example:
      marginbench quality export reports/out/quality/RUN EXPORT --models

    Exit codes: 0 exported, 2 bad usage, or TARGET holds something else, 3 the store
    refused.
    """
    from reports.quality import publishing

    folders.check(target, kinds.EXPORT, "TARGET")
    try:
        record = stores.run_of(run_dir)
        with (
            progress.shown() as report,
            publishing.exported(
                run_dir, store, models, record=record, progress=progress.named(report)
            ) as made,
        ):
            publishing.put(made.files, target)
    except folders.Refused:
        raise
    except Exception as error:  # a database driver's own, an HTTP client's, a disk's
        fail(f"not exported: {type(error).__name__}: {error}")
    count = made.runs
    say(f"{count} MLflow runs exported to {target}")
