"""Medians, quantiles and intervals of timed rounds; how time grows with size. Needs numpy alone.

**The interval of a median.** Rounds of two contenders are paired (taken back to back), so what is
compared is the ratio within a round: drift that hits both cancels. Ratios are handled as
logarithms, hence the interval of a/b is exactly the inverse of that of b/a.

The percentile bootstrap of a median is a pair of order statistics, since a resample's median is
one of the values. Its true coverage is binomial, whatever the distribution, and jumps between 88
and 98% from one number of rounds to the next. So the bootstrap is calibrated to its coverage (Loh
1987), which for a median needs no resampling: order statistics j and n+1-j cover the median with
probability 1 - 2 P(Binomial(n, 1/2) < j), and the interval lies between the two neighbouring j
that bracket the level, interpolated as Hettmansperger and Sheather (1986) do. Simulated coverage
is 94 to 95.5% for 5 rounds and more, with heavy tails as without
(tests/reports/test_statistics.py). It assumes that rounds are exchangeable once paired; noise
that stays for several rounds with one contender and not the other makes any such interval too
narrow.

**The growth exponent** is the least-squares slope of log time on log size. Its interval resamples
the rounds of each size (simulated coverage 96 to 98%): it says how well the slope of *these* sizes
is known. Whether a power law fits at all shows in the local exponents, between neighbouring sizes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suites.interval import Interval

LEVEL = 0.95
FEWEST_ROUNDS = 5
RESAMPLES = 2000


@dataclass(frozen=True)
class Growth:
    """time = constant * size^exponent, fitted over ``sizes``; ``local`` holds the smallest and
    the largest exponent between neighbouring sizes."""

    exponent: Interval
    constant: float
    sizes: tuple[float, ...]
    local: tuple[float, float]

    def at(self, size: float) -> float:
        return self.constant * size**self.exponent.estimate


def positive(values: Sequence[float | None]) -> list[float]:
    """The figures that a time can be: finite and above 0."""
    return [v for v in values if v is not None and math.isfinite(v) and v > 0]


def quantiles(rounds: Sequence[float], at: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)):
    """Linear between order statistics; None for each where there are no rounds."""
    values = [v for v in rounds if math.isfinite(v)]
    if not values:
        return [None] * len(at)
    return [float(q) for q in np.quantile(values, at)]


@functools.cache
def _ranks(n: int, level: float = LEVEL) -> tuple[float, float]:
    """Where, among n ordered values (from 0), the interval of the median begins and ends."""
    tail = 0.0
    outside = [0.0]  # outside[j]: probability that j inner order statistics miss the median
    for j in range(n // 2):
        tail += math.exp(_log_choose(n, j) - n * math.log(2))
        outside.append(2 * tail)
    miss = 1 - level
    d = max((j for j in range(1, len(outside)) if outside[j] <= miss), default=0)
    if d == 0 or d + 1 >= len(outside):
        return 0.0, n - 1.0
    share = (miss - outside[d]) / (outside[d + 1] - outside[d])
    inward = (n - d) * share / (d + (n - 2 * d) * share)
    return d - 1 + inward, n - d - inward


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def median_interval(rounds: Sequence[float]) -> Interval | None:
    """The median of positive rounds with its 95% interval; None where there are none."""
    values = np.sort(np.log(positive(rounds)))
    n = len(values)
    if n == 0:
        return None
    estimate = float(np.exp(np.median(values)))
    if n < FEWEST_ROUNDS:
        return Interval(estimate, None, None, n)
    low, high = np.exp(np.interp(_ranks(n), np.arange(n), values))
    return Interval(estimate, float(low), float(high), n)


def ratio_interval(over: Sequence[float], under: Sequence[float]) -> Interval | None:
    """Median of over[k] / under[k] with its 95% interval.

    Round k of both was taken back to back; where one has more rounds, the rest has no partner and
    is left out, as is a pair that holds a figure which no time can be.
    """
    pairs = zip(over, under, strict=False)
    ratios = [a / b for a, b in pairs if len(positive((a, b))) == 2]
    return median_interval(ratios)


@functools.cache
def _resampled_medians(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the two middle values of each resample of n values: the same draws for every
    series of that length, so that a figure does not depend on what was computed before it."""
    generator = np.random.default_rng(n)
    drawn = np.sort(generator.integers(0, n, (RESAMPLES, n)), axis=1)
    return drawn[:, (n - 1) // 2], drawn[:, n // 2]


def growth(rounds_at: Mapping[float, Sequence[float]]) -> Growth | None:
    """Fit over sizes; None with fewer than two. No interval where a size has under five rounds,
    which is also how exact figures (one each) come out."""
    kept = {size: positive(rounds) for size, rounds in sorted(rounds_at.items()) if size > 0}
    kept = {size: rounds for size, rounds in kept.items() if rounds}
    if len(kept) < 2:
        return None
    x = np.log(np.array(list(kept)))
    logs = [np.sort(np.log(rounds)) for rounds in kept.values()]
    y = np.array([np.median(values) for values in logs])
    weights = (x - x.mean()) / np.square(x - x.mean()).sum()
    slope = float(weights @ y)
    low = high = None
    fewest = min(len(values) for values in logs)
    if fewest >= FEWEST_ROUNDS:
        # Sizes are independent of one another: each gets its own order of the shared draws.
        order = np.random.default_rng(0)
        slopes = np.zeros(RESAMPLES)
        for weight, values in zip(weights, logs, strict=True):
            first, second = _resampled_medians(len(values))
            middle = (values[first] + values[second]) / 2
            slopes += weight * order.permutation(middle)
        low, high = (float(q) for q in np.quantile(slopes, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)))
    steps = np.diff(y) / np.diff(x)
    return Growth(
        exponent=Interval(slope, low, high, fewest),
        constant=float(np.exp(y.mean() - slope * x.mean())),
        sizes=tuple(kept),
        local=(float(steps.min()), float(steps.max())),
    )
