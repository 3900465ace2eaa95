"""``marginbench quality sync | export | import | publish``: MLflow's side of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

Folder = click.Path(path_type=Path, file_okay=False, exists=True)
NOT_POSSIBLE = 3


@click.command()
@click.argument("run_dir", required=False, type=Folder)
@click.option("--store", help="MLflow's address.  [default: MLFLOW_TRACKING_URI, else the run's "
              "own store]")  # fmt: skip
def sync(run_dir: Path | None, store: str | None) -> None:
    """Send to MLflow what it lacks of a run (by default of the newest).

    For a store that was locked, gone or read-only while the run trained, or for another one.
    Sending twice is sending once. Exit codes: 0 all is there, 3 the store refused.
    """
    from suites.quality import tracking

    from .commands import newest

    folder = run_dir or newest()
    _tell(tracking.sync(_records(folder), folder, store), f"{folder} to MLflow")


@click.command("export")
@click.argument("run_dir", type=Folder)
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@click.option("--store", help="MLflow's address.  [default: as of sync]")
@click.option("--models", is_flag=True, help="The networks too.")
def export_command(run_dir: Path, target: Path, store: str | None, models: bool) -> None:
    """Write what MLflow holds of a run into the folder TARGET, which can be moved.

    MLflow's own files name absolute places; these do not. `import` makes a store of them again.
    """
    from suites.quality import tracking

    from .commands import fail

    try:
        count = tracking.export(run_dir, target, store, models, record=_run_of(run_dir))
    except Exception as error:  # a database driver's own, an HTTP client's, a disk's
        fail(f"not exported: {type(error).__name__}: {error}", NOT_POSSIBLE)
    click.echo(f"{count} MLflow runs exported to {target}")


@click.command("import")
@click.argument("source", type=Folder)
@click.option("--store", required=True, help="MLflow's address, as sqlite:////path/mlflow.db.")
def import_command(source: Path, store: str) -> None:
    """Put an export back into MLflow's store: the runs that it lacks."""
    from suites.quality import tracking

    try:
        outcome = tracking.import_(source, store)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="SOURCE") from None
    _tell(outcome, f"{source} to MLflow")


@click.command()
@click.argument("run_dir", type=Folder)
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@click.option("--store", help="MLflow's address.  [default: as of sync]")
def publish(run_dir: Path, target: Path, store: str | None) -> None:
    """Write a finished run into TARGET, small enough to commit.

    TARGET, say reports/published/quality/NAME, then holds records.jsonl.xz (every line as it was
    recorded), the page drawn from it, whose commands name TARGET, and MLflow's side under mlflow:
    without networks, and without figures, which `sync TARGET --store ADDRESS` draws again from
    the records. What MLflow lacks of the run is sent there first.

    \b
    Exit codes:
      0  published
      1  the record is damaged, or the run is not finished
      2  bad usage
      3  MLflow's store refused; nothing is published
    """
    from . import publishing
    from .commands import fail

    try:
        sizes = publishing.publish(run_dir, target, store)
    except publishing.NotThere as error:
        raise click.BadParameter(str(error), param_hint="TARGET") from None
    except publishing.Refused as error:
        fail(f"not published: {error}", NOT_POSSIBLE)
    for name, size in sizes.items():
        click.echo(f"{size:>12,} bytes  {target / name}")
    click.echo(f"{sum(sizes.values()):>12,} bytes in all")


def _tell(outcome: Any, what: str) -> None:
    click.echo(f"{what}: {outcome.sent} sent, {outcome.present} were there")
    if outcome.reason:
        click.echo(f"{outcome.failed} not sent: {outcome.reason}", err=True)
        sys.exit(NOT_POSSIBLE)


def _records(folder: Path) -> list[Any]:
    """What was trained, as our own record says: each once."""
    from benchmarks.quality.again import read

    return list(read(folder).trainings)


def _run_of(folder: Path) -> str:
    """The id of our own record there; empty where there is none."""
    from benchmarks.records import RecordError

    try:
        return str(_records(folder)[0].run)
    except (RecordError, IndexError):
        return ""


def register(group: click.Group) -> None:
    from . import serving

    for command in (sync, export_command, import_command, publish, serving.ui):
        group.add_command(command)
