"""``marginbench quality import``: puts an export back into MLflow's store."""

from __future__ import annotations

from pathlib import Path

import click

from .. import progress
from ..paths import Folder
from . import stores


@click.command("import")
@click.argument("source", type=Folder(exists=True))
@click.option("--store", required=True, help="MLflow's address, such as sqlite:////path/mlflow.db.")
def import_command(source: Path, store: str) -> None:
    """Import an export into MLflow's store.

    SOURCE is the export's folder. Runs that the store already has are left out.

    \b
    Example:
      marginbench quality import EXPORT --store sqlite:////path/mlflow.db

    Exit codes: 0 the store has all, 2 bad usage, or SOURCE is no export, 3 the store refused.
    """
    from benchmarks.training import tracking

    if not store:
        raise click.BadParameter("expected MLflow's address; got nothing", param_hint="--store")
    try:
        with progress.shown() as report:
            outcome = tracking.import_(source, store, progress.named(report))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="SOURCE") from None
    stores.report(outcome, f"{source} to MLflow")
