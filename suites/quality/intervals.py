"""What several seeds say: means with intervals, paired differences, Holm's correction.

Needs no torch; scipy is imported where a quantile is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from ..interval import Interval

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Paired:
    """The mean of a - b over the seeds that both have, its interval, and the two-sided p-value of
    Student's paired test (None with fewer than two seeds)."""

    difference: Interval
    p_value: float | None


def interval(values: Sequence[float]) -> Interval:
    """Mean and Student's 95% interval. Raises ValueError without a value."""
    if not values:
        raise ValueError("values: expected at least one; got none")
    mean, count = fmean(values), len(values)
    if count < 2:
        return Interval(mean, None, None, count)
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * stdev(values) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Paired:
    """a - b by seed: equal seeds start from equal networks and see equal batches, so their
    differences vary less than the values do. Raises ValueError where no seed is in both."""
    differences = [a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())]
    if not differences:
        raise ValueError("a, b: expected a seed in both; got none")
    found = interval(differences)
    if found.count < 2:
        return Paired(found, None)
    spread = stdev(differences)
    if spread == 0:
        return Paired(found, 1.0 if found.estimate == 0 else 0.0)
    from scipy.stats import t

    statistic = abs(found.estimate) / (spread / math.sqrt(found.count))
    return Paired(found, 2 * float(t.sf(statistic, found.count - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the order given: with each at most 5% taken as found,
    at most 5% of such families hold a false one."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
