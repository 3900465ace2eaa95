"""How far processes differ from one another, beyond the scatter of their groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .replay import legs_of
from .trials import Trust


@dataclass(frozen=True)
class Spread:
    """Of the log-ratios of one case under one load with one fraction put in: over ``processes``
    processes their mean, the standard deviation ``between`` them that the scatter of their groups
    does not explain, and that of groups ``within`` a process. nan with fewer than two processes.

    Of unchanged code ``between`` is what lasts as long as a process, such as where two copies of
    one code lie in memory; of slowed code also how exactly the extra work was measured."""

    case: str
    load: str
    fraction: float
    processes: int
    groups: int
    mean: float
    between: float
    within: float
    neighbours: float

    def lasting(self, values: np.ndarray) -> float:
        """The best guess (the least expected squared error) of the mean that a process would have
        in the long run, from its log-ratios: theirs, drawn towards that of all processes."""
        scatter = self.within**2 / values.size
        known = self.between**2 + scatter
        share = self.between**2 / known if known else 0.0
        return self.mean + share * (float(values.mean()) - self.mean)


def spread(trust: Trust, case: str, load: str, fraction: float) -> Spread:
    """By the moments of a random effect: the variance of processes' means, less what the scatter
    inside them makes of it; 0 where nothing is left."""
    stored = [legs.log_ratios for trial in trust.of(load, fraction)
              for legs in legs_of(trial, case) if len(legs.groups) >= 2]  # fmt: skip
    groups = sum(map(len, stored))
    if len(stored) < 2:
        return Spread(case, load, fraction, len(stored), groups, *[math.nan] * 4)
    means = np.array([values.mean() for values in stored])
    inside = [float(values.var(ddof=1)) for values in stored]
    explained = np.mean([v / len(values) for v, values in zip(inside, stored, strict=True)])
    between = math.sqrt(max(0.0, float(means.var(ddof=1) - explained)))
    within = math.sqrt(float(np.mean(inside)))
    return Spread(case, load, fraction, len(stored), groups, float(means.mean()), between, within,
                  _neighbours(stored))  # fmt: skip


def _neighbours(stored: list[np.ndarray]) -> float:
    """Pooled over processes; what centring each of them takes away, 1 / groups, is added again."""
    centred = [values - values.mean() for values in stored]
    squares = sum(float(c @ c) for c in centred)
    if not squares:
        return 0.0
    products = sum(float(c[1:] @ c[:-1]) for c in centred)
    return products / squares + float(np.mean([1 / c.size for c in centred]))
