"""The estimate of a ratio and its interval, from groups of blocks. Needs numpy and scipy.

A block is base and candidate twice each, in the order ABBA or BAAB; its log-ratio is free of any
drift that is linear over the block. Blocks of a group share inputs, addresses and the moment, so
the group is what is resampled, with its blocks as they are (a cluster bootstrap: resampling blocks
inside as well would count their scatter twice). The estimate is the mean of the middle half of the
groups' values; an interval that resamples n groups is too narrow by sqrt((n - 1) / n) and by the
tails of Student's t, and is widened by both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from suites.interval import Interval

LEVEL = 0.95
FEWEST = 8
_RESAMPLES = 1000
_TRIM = 0.25


def log_ratio(base: tuple[float, float], candidate: tuple[float, float]) -> float:
    """Of one block, from two legs a side (any unit); raises ValueError for a leg of no time."""
    (a, b), (c, d) = base, candidate
    if min(a, b, c, d) <= 0:
        raise ValueError(f"legs: expected times above 0; got {min(a, b, c, d)}")
    return 0.5 * (math.log(c) + math.log(d) - math.log(a) - math.log(b))


def ratio(groups: Sequence[float], seed: int = 0) -> Interval:
    """candidate / base with its 95% interval, from the log-ratio of each group; raises ValueError
    unless there are some, all finite."""
    values = np.asarray(groups, dtype=float)
    if values.size == 0 or not np.isfinite(values).all():
        infinite = int((~np.isfinite(values)).sum())
        raise ValueError(
            "groups: expected finite log-ratios, at least one; got "
            f"{values.size}, {infinite} not finite"
        )
    estimate = middle(values)
    count = values.size
    if count < FEWEST:
        return Interval(math.exp(estimate), None, None, count)
    drawn = np.random.default_rng(seed).integers(count, size=(_RESAMPLES, count))
    resampled = _middle(values[drawn])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    normal, student = stats.norm.ppf(1 - tail), stats.t.ppf(1 - tail, count - 1)
    wider = math.sqrt(count / (count - 1)) * student / normal
    return Interval(
        math.exp(estimate),
        math.exp(estimate + (low - estimate) * wider),
        math.exp(estimate + (high - estimate) * wider),
        count,
    )


def middle(values: np.ndarray) -> float:
    """The estimate of a log-ratio, without an interval; NaN where there is no group."""
    return float(_middle(values[None, :])[0]) if values.size else math.nan


def _middle(rows: np.ndarray) -> np.ndarray:
    """Of each row, the mean of its middle half."""
    return np.atleast_1d(stats.trim_mean(rows, _TRIM, axis=1))
