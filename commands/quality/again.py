"""``marginbench quality again``: trains one row again, and compares."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.table import Table

from .. import progress
from ..messages import console, say

# How wide the table is in a log.
_WIDTH = 120


@click.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
@click.argument("name")
def again(records: Path, name: str) -> None:
    """Repeat a recorded training: is every figure the same?

    RECORDS is the record file (.jsonl or .jsonl.xz) of a run or of what is published, or its
    folder. NAME is the training's name, as the report prints it. Times and memory are shown, not
    compared.

    \b
    Example:
      marginbench quality again reports/published/quality/RUN NAME

    \b
    Exit codes:
      0  equal bit for bit
      1  not equal, though machine and versions are the same
      2  bad usage
      3  not compared: it can't be trained here, nothing was recorded, the record is damaged, or
         figures differ on another machine or with other versions
    """
    from benchmarks.instruments.metrics import is_timed
    from benchmarks.training import again as comparing

    try:
        recorded = comparing.find(comparing.read(records), name)
    except comparing.NotThere as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None
    with progress.shown(name) as report:
        found = comparing.again(recorded, progress=progress.named(report))
    table = Table("metric", "recorded", "again", "", title=name)
    for metric, then, now in found.metrics:
        timed = is_timed(metric)
        word = "timed" if timed else "" if metric not in found.differences else "differs"
        table.add_row(metric, *("-" if v is None else f"{v:.9g}" for v in (then, now)), word)
    console(_WIDTH).print(table)
    for other in found.others:
        say(f"differs: {other}")
    if found.differences and found.exit_code != 0:
        shown = ", ".join(found.differences[:5])
        say(f"first that differ: {shown}")
    if found.largest and found.exit_code != 0:
        say(f"largest relative difference: {found.largest}")
    say(found.verdict)
    sys.exit(found.exit_code)
