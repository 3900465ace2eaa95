"""Where a series changes its level.

The logarithms of a series are cut into pieces of one level each, so that the sum of squares
around the levels plus a penalty for each cut is least (PELT: Killick, Fearnhead, Eckley 2012, by
the package ruptures). Squares are in units of the noise, so the penalty has no unit: it is
``4 ln n`` for n commits. Yao (1988) showed for known noise that ``2 ln n`` finds the right number
of levels as n grows; but a cut is the best of n - 1 places and the noise is estimated, so at 40
commits it still cuts 14% of flat series. The factor was raised until that was rare. Of 600 flat
series of normal noise of 3%, 2 ln n cut 14%, 3 ln n 4%, 4 ln n 0.8% (3.5% at 10 commits, 0.3% at
100; 1.0% where the noise is Student's t with 4 degrees of freedom). A step of 20% was found within
one commit in all of 300 series, of 10% in 95%, of 5% in 50%. A running median of three goes first:
without it a lone outlier is a level of its own, and 6.8% of the series with Student's t were cut.

Noise is the median absolute difference of neighbours, scaled to a standard deviation of normal
noise (1.4826 / sqrt 2): a step is one large difference among many and does not move it. It is
never taken below a floor: for times the 3.1% by which two processes of identical code differ,
over sqrt 2, as each commit was measured in a process of its own; 5% for errors, which a change of
rounding moves; 1% for quality; nothing for exact figures, where any change is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

PENALTY = 4.0
FLOOR = {"timed": 0.031 / math.sqrt(2), "error": 0.05, "quality": 0.01}
# So far below any change of an exact figure that every change is a cut, yet no underflow.
_EXACT = 1e-12
_TO_SD = 1.4826 / math.sqrt(2)
# A lone commit that differs is an outlier until its successor agrees with it.
_SHORTEST = 2


@dataclass(frozen=True)
class Change:
    """``at``: index of the first figure of the new level. ``before`` and ``after``: medians of
    the levels beside it, in the metric's unit."""

    at: int
    before: float
    after: float

    @property
    def ratio(self) -> float | None:
        """After over before; None where that was 0."""
        return self.after / self.before if self.before else None


def noise(values_log: np.ndarray, kind: str) -> float:
    """Standard deviation of what a figure does from commit to commit without a change."""
    if kind == "exact":
        return _EXACT
    differences = np.abs(np.diff(values_log))
    return max(FLOOR[kind], _TO_SD * float(np.median(differences)))


def changes(values: Sequence[float], kind: str) -> list[Change]:
    """Change points of one series in commit order; ``kind`` as in `benchmarks.instruments.metrics`.

    A change of a noisy metric shows once two commits have its new level. Raises ImportError
    without ruptures.
    """
    import ruptures

    shortest = 1 if kind == "exact" else _SHORTEST
    if len(values) < 2 * shortest:
        return []
    logs = _logs(np.asarray(values, dtype=float))
    level = logs if kind == "exact" else _without_outliers(logs)
    signal = (level - level[0]) / noise(logs, kind)
    search = ruptures.Pelt(model="l2", min_size=shortest, jump=1).fit(signal[:, None])
    ends = search.predict(pen=PENALTY * math.log(len(values)))
    edges = [0, *ends]
    levels = [median(values[a:b]) for a, b in pairwise(edges)]
    return [
        Change(at, before, after)
        for at, before, after in zip(ends, levels, levels[1:], strict=False)
    ]


def _without_outliers(logs: np.ndarray) -> np.ndarray:
    """Each figure becomes the median of itself and its neighbours, at the ends of the last three:
    what stands alone is gone, and a step of two commits or more stays where it is."""
    inner = np.median([logs[:-2], logs[1:-1], logs[2:]], axis=0)
    return np.concatenate([inner[:1], inner, inner[-1:]])


def _logs(values: np.ndarray) -> np.ndarray:
    """Logarithms; of one more where a count may be 0; the figures themselves below that."""
    if (values > 0).all():
        return np.log(values)
    return np.log1p(values) if (values >= 0).all() else values
