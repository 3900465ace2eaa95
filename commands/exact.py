"""What ``marginbench gate --pin`` prints: the exact check as tables and a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.instruments.machine import ROOT

from . import progress
from .messages import console, say

if TYPE_CHECKING:
    from benchmarks.snapshots.exact.check import ExactOutcome
    from benchmarks.snapshots.exact.rows import ExactDifference

# At most this many rows of a table are shown; the total always is.
_SHOWN = 60
# How wide tables are in a log.
_WIDTH = 200


def checked(pin: bool, tree: Path = ROOT, losses: Sequence[str] | None = None) -> int:
    """Check (or pin, showing what changes) and say it; returns the exit code of `check`."""
    from benchmarks.snapshots.exact.check import check

    with progress.shown() as report:
        found = check(pin=pin, tree=tree, losses=losses, report=report)
    show(found, pin=pin)
    return found.code


def show(outcome: ExactOutcome, *, pin: bool) -> None:
    """The tables, then what it comes to in a line, then what to do."""
    from benchmarks.snapshots.exact.check import REPIN

    _table(outcome.repinned, "Pinned again in this change", "base", "here")
    _table(outcome.differences, "Changed" if pin else "Not as pinned", "pinned", "now")
    _table(outcome.broken, "Bounds that are broken", "allowed", "now")
    _table(outcome.unmeasured, "Not measured", "pinned", "now")
    counts = (
        f"{len(outcome.rows)} exact rows and {outcome.compiled} compiled kernels: "
        f"{len(outcome.differences)} {'changed' if pin else 'not as pinned'}, "
        f"{len(outcome.broken)} out of bounds, {len(outcome.unmeasured)} not measured"
    )
    say(counts)
    for problem in outcome.problems:
        say(problem, err=True)
    if outcome.differences and not pin:
        say(f"where that is meant, pin it with: {REPIN}", err=True)


def _table(found: Sequence[ExactDifference], title: str, before: str, after: str) -> None:
    if not found:
        return
    table = Table("case", "contender", "metric", before, after, "why", title=title)
    for one in found[:_SHOWN]:
        table.add_row(one.case, one.contender, one.metric, one.before, one.after, one.reason[:80])
    console(_WIDTH).print(table)
    if len(found) > _SHOWN:
        say(f"and {len(found) - _SHOWN} more")
