"""How a session's minutes are shared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

CEILINGS_S, CHECKING, TUNING, LEAVING_S = 45.0, 0.45, 0.3, 8.0
_LEAST_SHARE = 0.15


@dataclass(frozen=True)
class Budget:
    """Seconds of ``now``; ``minutes`` from ``start``."""

    minutes: float
    start: float
    now: Callable[[], float]

    @property
    def words(self) -> str:
        return f"{self.minutes:g} minutes"

    @property
    def end(self) -> float:
        """Some seconds early, to end and record what is running."""
        return self.start + max(0.0, 60 * self.minutes - LEAVING_S)

    @property
    def left(self) -> float:
        return max(0.0, self.end - self.now())

    @property
    def ceilings_end(self) -> float:
        return min(self.end, self.start + CEILINGS_S)

    @property
    def checks_end(self) -> float:
        """A share of what is left when the checks begin; timing gets what they don't use."""
        return self.now() + self.left * CHECKING

    @property
    def tiles_end(self) -> float:
        """A share of what the checks leave; timing gets what the tiles don't use."""
        return self.now() + self.left * TUNING

    def seconds(self, preferred: float, left: float, cases: int) -> float:
        """Timed seconds for the next of ``cases``: a third of its share of what is left (compiling,
        drawing inputs and checking take the rest), at least a floor, at most ``preferred``."""
        share = left / max(1, cases) / 3
        return min(preferred, max(_LEAST_SHARE * preferred, share))


def new(minutes: float, now: Callable[[], float] = time.monotonic) -> Budget:
    return Budget(minutes, now(), now)
