"""What all benchmarks of two sides moved by together, and how far they differ beyond that.

A machine that is loaded, throttled or replaced by a faster one between two runs moves most times
alike, those of unchanged code too; so does a change to everything. With one run a side nothing
separates the two. Runs of one side can: they have the machine's moves and no change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import units
from ..rows import Rows
from .loading import Measured, Timing

# A normal distribution's standard deviation over its median absolute deviation.
_MAD_SD = 1.4826
_LEVEL = 0.95
_FEWEST = 5  # Of fewer, the spread about their own median says next to nothing.
_STILL = 0.005  # A factor that is written as 1.00.


@dataclass(frozen=True)
class Shift:
    """``log_ratio``: the median over ``count`` benchmarks. ``most``: the largest log ratio that
    the machine alone explains with 95%; infinite with one run a side. ``spread``: the standard
    deviation of the log ratio of two processes beyond what they moved by together, from
    ``freedom`` degrees of freedom; 0.0 where nothing shows it. ``beside``: for each benchmark the
    median log ratio of the other contenders of its case, which shared its minutes."""

    log_ratio: float = 0.0
    count: int = 0
    most: float = math.inf
    spread: float = 0.0
    freedom: int = 0
    beside: Mapping[str, float] | None = None

    def machine(self, name: str) -> tuple[float, float]:
        """Least and most of this benchmark's log ratio that can be the machine's: none of it, all
        of what everything moved by, or all of what its case's other contenders did."""
        beside = (self.beside or {}).get(name, self.log_ratio)
        able = [min(max(one, -self.most), self.most) for one in (self.log_ratio, beside)]
        return min(0.0, *able), max(0.0, *able)


def find(names: Sequence[str], base: Sequence[Measured], candidate: Sequence[Measured]) -> Shift:
    """``names``: the benchmarks that every file has."""
    if not names:
        return Shift()
    sides = [_logs(names, side) for side in (base, candidate)]  # runs x benchmarks
    moved = sides[1].mean(axis=0) - sides[0].mean(axis=0)
    common = float(np.median(moved))
    beside = _beside({name: base[0].timings[name] for name in names}, moved)
    apart = sum(len(side) - 1 for side in sides)
    if not apart:
        if len(names) < _FEWEST:
            return Shift(common, len(names), math.inf, beside=beside)
        spread = _MAD_SD * float(np.median(np.abs(moved - common)))
        return Shift(common, len(names), math.inf, spread, len(names) - 1, beside)
    inside = [side - side.mean(axis=0) for side in sides]
    together = [np.median(side, axis=1, keepdims=True) for side in inside]
    machine = math.sqrt(sum(float(np.square(one - one.mean()).sum()) for one in together) / apart)
    rest = sum(float(np.square(a - b).sum()) for a, b in zip(inside, together, strict=True))
    freedom = apart * (len(names) - 1)
    most = quantile((1 - _LEVEL) / 2, apart) * machine
    most *= math.sqrt(sum(1 / len(side) for side in sides))
    spread = math.sqrt(2 * rest / freedom) if freedom else 0.0
    return Shift(common, len(names), most, spread, freedom, beside)


def quantile(tail: float, freedom: float) -> float:
    """Student's, so that a spread known from few figures counts for what it is worth."""
    from scipy.stats import t

    return float(t.isf(tail, freedom))


def sentence(found: Shift, base: str, candidate: str) -> str:
    """The shift in a sentence, and what it means for the verdicts."""
    if not found.count:
        return ""
    of = (
        f"{candidate} took {math.exp(found.log_ratio):.2f} times as long as {base} in the median "
        f"of {units.plural(found.count, 'time')}"
    )
    if abs(found.log_ratio) < _STILL:
        return f"{of}: the median did not move."
    if math.isinf(found.most):
        return (
            f"{of}. Either the machine caused that or a change affects everything; one run a side "
            "cannot separate the two. So slower or faster means so both as measured and relative "
            "to the others."
        )
    able = "all of it" if abs(found.log_ratio) <= found.most else "not all of it"
    return (
        f"{of}. Runs of one side shift together too: the machine alone can cause a factor of up "
        f"to {math.exp(found.most):.2f}, which is {able}."
    )


def _logs(names: Sequence[str], files: Sequence[Measured]) -> np.ndarray:
    return np.array([[one.timings[name].log_median for name in names] for one in files])


def _beside(timings: Mapping[str, Timing], moved: np.ndarray) -> dict[str, float]:
    cases = Rows(zip(timings.values(), moved, strict=True)).by(lambda row: row[0].case)
    found = {}
    for name, timing in timings.items():
        others = [float(value) for other, value in cases[timing.case]
                  if timing.case and other.contender != timing.contender]  # fmt: skip
        if others:
            found[name] = float(np.median(others))
    return found
