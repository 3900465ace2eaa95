"""How far a run is, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """Where a run stands. ``current`` is what runs now, empty when it is over; ``left_s`` the
    seconds expected to the end; ``finished`` names what has just ended, with ``note`` on it."""

    total: int
    done: int
    current: str = ""
    left_s: float = 0.0
    finished: str = ""
    note: str = ""


Progress = Callable[[Step], None]


def plain(step: Step) -> None:
    """Prints a line for each case; used without a terminal."""
    if step.finished:
        print(f"{step.done}/{step.total}  {step.finished}  {step.note}", flush=True)
