"""``marginbench quality publish``: a finished run, in the form in which it is committed."""

from __future__ import annotations

from pathlib import Path

import click

from .. import progress
from ..endings import fail
from ..messages import say
from ..paths import Folder


@click.command()
@click.argument("run_dir", type=Folder(exists=True))
@click.argument("target", type=Folder())
@click.option("--store", help="MLflow's address.  [default: as for sync]")
def publish(run_dir: Path, target: Path, store: str | None) -> None:
    """Write a finished run into a folder small enough to commit.

    RUN_DIR is the run's folder. TARGET, such as reports/published/quality/NAME, then holds
    records.jsonl.xz (the records, line by line as they were written) and MLflow's side in mlflow/:
    without networks, and without figures, which `sync TARGET --store ADDRESS` draws again. What
    MLflow lacks of the run is sent to it first. `marginbench publish` then puts its page on the
    site. TARGET is new or empty, or published before; files of yours in it are never replaced or
    removed.

    \b
    Example:
      marginbench quality publish reports/out/quality/RUN reports/published/quality/NAME

    \b
    Exit codes:
      0  published
      2  bad usage
      3  nothing is published: the record is damaged, the run is not finished, MLflow's store
         refused, or TARGET can't be written
    """
    from reports.quality import publishing

    try:
        with progress.shown("packing the records") as report:
            sizes = publishing.publish(run_dir, target, store, progress.named(report))
    except publishing.NotThere as error:
        raise click.BadParameter(str(error), param_hint="TARGET") from None
    except publishing.Refused as error:
        fail(f"not published: {error}")
    for name, size in sizes.items():
        say(f"{size:>12,} bytes  {target / name}")
    say(f"{sum(sizes.values()):>12,} bytes in all")
