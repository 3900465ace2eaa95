"""How far processes differ from one another, beyond the scatter of their groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .reading import Trust
from .replay import legs_of


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


def spread(trust: Trust, case: str, load: str, fraction: float) -> Spread:
    """By the moments of a random effect: the variance of processes' means, less what the scatter
    inside them makes of it; 0 where nothing is left."""
    stored = [legs.log_ratios for trial in trust.of(load, fraction)
              for legs in legs_of(trial, case) if len(legs.groups) >= 2]  # fmt: skip
    groups = sum(map(len, stored))
    if len(stored) < 2:
        return Spread(case, load, fraction, len(stored), groups, *[math.nan] * 3)
    means = np.array([values.mean() for values in stored])
    inside = [float(values.var(ddof=1)) for values in stored]
    explained = np.mean([v / len(values) for v, values in zip(inside, stored, strict=True)])
    between = math.sqrt(max(0.0, float(means.var(ddof=1) - explained)))
    within = math.sqrt(float(np.mean(inside)))
    return Spread(case, load, fraction, len(stored), groups, float(means.mean()), between, within)
