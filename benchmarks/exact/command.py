"""Tells the exact check in a terminal: `marginbench gate --exact`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress
from rich.table import Table

from .. import pins
from .check import REPIN, ExactOutcome, check
from .rows import ExactDifference

# So many rows of a table are shown; how many there are is always told.
_SHOWN = 60


def command(pin: bool, base_pins: Path | None = None, folder: Path = pins.FOLDER) -> int:
    """Check (or pin, showing what changes) and say it; returns the exit code of `check`."""
    console = Console(stderr=True)
    columns = ("{task.completed:.0f}/{task.total:.0f}", BarColumn(24), "[dim]{task.description}")
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1)

        def tell(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=max(total, 1), description=what)

        measured = check(pin=pin, base_pins=base_pins, folder=folder, tell=tell)
    show(measured, pin=pin)
    return measured.code


def show(outcome: ExactOutcome, *, pin: bool) -> None:
    """The tables, then what it comes to in a line, then what to do."""
    _table(outcome.repinned, "Pinned again in this change", "base", "here")
    _table(outcome.differences, "Changed" if pin else "Not as pinned", "pinned", "now")
    _table(outcome.broken, "Bounds that are broken", "allowed", "now")
    _table(outcome.unmeasured, "Not measured", "pinned", "now")
    counts = (
        f"{len(outcome.rows)} exact rows and {outcome.compiled} compiled kernels: "
        f"{len(outcome.differences)} {'changed' if pin else 'not as pinned'}, "
        f"{len(outcome.broken)} out of bounds, {len(outcome.unmeasured)} not measured"
    )
    click.echo(counts)
    for problem in outcome.problems:
        click.echo(problem, err=True)
    if outcome.differences and not pin:
        click.echo(f"where that is meant, pin it with: {REPIN}", err=True)


def _table(found: Sequence[ExactDifference], title: str, before: str, after: str) -> None:
    if not found:
        return
    table = Table("case", "contender", "metric", before, after, "why", title=title)
    for one in found[:_SHOWN]:
        table.add_row(one.case, one.contender, one.metric, one.before, one.after, one.reason[:80])
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
    if len(found) > _SHOWN:
        click.echo(f"and {len(found) - _SHOWN} more")
