"""What the commands on MLflow's side of a run have in common."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..endings import NOT_POSSIBLE
from ..messages import say


def report(outcome: Any, what: str) -> None:
    """How many runs were sent; exit code 3 where the store did not take all."""
    say(f"{what}: {outcome.sent} sent, {outcome.present} were there")
    if outcome.reason:
        say(f"{outcome.failed} not sent: {outcome.reason}", err=True)
        sys.exit(NOT_POSSIBLE)


def records(folder: Path) -> list[Any]:
    """What was trained, as our own record says: each once."""
    from benchmarks.training.again import read

    return list(read(folder).trainings)


def run_of(folder: Path) -> str:
    """The id of our own record there; empty where there is none."""
    from benchmarks.records.loading import RecordError

    try:
        return str(records(folder)[0].run)
    except (RecordError, IndexError):
        return ""
