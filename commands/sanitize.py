"""``marginbench sanitize``: every kernel in an interpreter that checks its loads and stores."""

from __future__ import annotations

import sys

import click
from rich.table import Table

from . import progress
from .messages import console

# How wide tables are in a log.
_WIDTH = 160


@click.command()
@click.option(
    "--only",
    default="",
    help="Only jobs whose name contains this.",
)
@click.option(
    "--sample",
    is_flag=True,
    help="Variants and dtypes in turn: a third of the time, every line reached, not every argument "
    "past 2^31.",
)
def sanitize(only: str, sample: bool) -> None:
    """Check that no kernel accesses memory out of bounds.

    The kernels run in an interpreter, so no GPU is needed. It takes about 20 minutes on two cores;
    with --sample, a third of that.

    \b
    Examples:
      marginbench sanitize
      marginbench sanitize --sample
      marginbench sanitize --only triplet

    Exit codes: 0 all accesses are in bounds, 1 one is not, or some code was not reached, 2 bad
    usage, 3 it could not run: a worker died, or there was nothing to run.
    """
    from benchmarks.sanitizer import sanitize as checking

    shown_on = console(_WIDTH)
    with progress.shown("starting") as report:
        tally, table, code = checking.check(report, only=only, sample=sample)
    shown = Table("function", "launches", "far", "lanes", "accesses", "past 2^31", "verdict",
                  title="Loads, stores and atomics inside their tensors")  # fmt: skip
    for row in table:
        reached = f"{row.reached}/{row.sites}"
        shown.add_row(row.function, str(row.launches or ""), str(row.far or ""), f"{row.lanes:,}",
                      reached, ", ".join(row.beyond), row.verdict)  # fmt: skip
    shown_on.print(shown)
    for finding in dict.fromkeys(map(str, tally.findings)):
        shown_on.print("out of bounds", finding, style="red", highlight=False)
    for problem in tally.problems:
        shown_on.print("failed", problem, style="red", highlight=False)
    outcome = {
        checking.CLEAN: "clean, of a sample" if sample else "clean",
        checking.FOUND: "found something",
        checking.COULD_NOT_RUN: "could not run",
    }[code]
    lanes = sum(tally.lanes.values())
    shown_on.print(f"{outcome}: {sum(tally.launches.values())} launches, "
                   f"{sum(tally.far.values())} far programs, {lanes:,} lanes")  # fmt: skip
    sys.exit(code)
