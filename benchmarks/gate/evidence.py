"""A sign-flip test that may be stopped after any sample. Needs the standard library alone.

What is tested are log-ratios candidate / base, one for each *group*: some blocks on inputs of
their own (`abba`). In a block the order of base and candidate is drawn by a coin, so where both
cost the same, a log-ratio is as likely as its negative, whatever the machine was doing meanwhile.
For x that is symmetric about a shift of at most m, and any scale chosen before x is seen,

    2 / (1 + exp(-2 scale (x - m)))

has at most the mean 1: a bet at fair odds that x lies above m (the sign-flip martingale of Efron
1969 and de la Peña 1999, in its tightest form, Ramdas et al. 2020, "Admissible anytime-valid
sequential inference must rely on nonnegative martingales"). The product of the bets exceeds 1/a
at any time with a probability of at most a (Ville 1939). So the test may be stopped after any
sample, and one over the largest product so far is a p-value.

No factor is above 2: a single outlier proves nothing, and a proof to 1e-5 takes 20 groups and
the few that are not bet on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

# Multiples of 1 / spread. The best scale for a shift of k spreads is k; for a shift between two of
# these, a neighbour does nearly as well. The products are averaged, which is a fair bet again.
_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
MIXTURE = math.log(len(_SCALES))
# The first groups of a sample only estimate the spread that the first bets are scaled by.
PILOT = 4
# The least spread assumed (log-ratio): clocks and caches resolve nothing finer.
_FINEST = 5e-4


def spread(values: Sequence[float]) -> float:
    """How far the log-ratios of groups scatter: their median absolute deviation, scaled to be the
    standard deviation of a normal distribution."""
    middle = statistics.median(values)
    return max(_FINEST, 1.4826 * statistics.median(abs(v - middle) for v in values))


class Bet:
    """Evidence that the log-ratio lies above ``shift`` (``direction`` 1) or below it (-1).

    `log_value` is the logarithm of what the bets have made of 1, `log_best` the most it ever was.
    """

    def __init__(self, shift: float, direction: int) -> None:
        if direction not in (1, -1):
            raise ValueError(f"direction: expected 1 or -1; got {direction}")
        self.shift, self.direction = shift, direction
        self._logs = [0.0] * len(_SCALES)
        self.log_value = self.log_best = 0.0

    @property
    def p_value(self) -> float:
        """The chance of this much evidence, ever, where there is nothing to find."""
        return math.exp(-self.log_best)

    def place(self, log_ratio: float, spread: float) -> None:
        """One more group; ``spread`` is that of the groups before it."""
        gap = self.direction * (log_ratio - self.shift) / spread
        for i, scale in enumerate(_SCALES):
            self._logs[i] += math.log(2.0) - _softplus(-2.0 * scale * gap)
        self.log_value = _log_mean_exp(self._logs)
        self.log_best = max(self.log_best, self.log_value)


def _softplus(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def _log_mean_exp(values: Sequence[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(v - most) for v in values) / len(values))


def holm(p_values: Sequence[float], tests: int) -> list[float]:
    """Adjusted p-values of some of ``tests`` tests, the rest of which found nothing (Holm 1979).

    Raises ValueError where there are more p-values than tests.
    """
    if len(p_values) > tests:
        raise ValueError(f"tests: expected at least {len(p_values)}; got {tests}")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (tests - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def detectable(spread: float, groups: float, error: float, tolerated: float) -> float:
    """The smallest log-ratio that is found in 95% of runs of so many groups with this spread, by
    the best of the bets: at a shift of g beyond what is tolerated, evidence grows by
    (g / spread)^2 / 2 a group, with a standard deviation of g / spread."""
    if groups <= PILOT:
        return math.inf
    wanted = math.log(1 / error) + MIXTURE
    gap = (1.645 + math.sqrt(1.645**2 + 2 * wanted)) / math.sqrt(groups - PILOT)
    # However clear it is, no group adds more than log 2.
    return tolerated + spread * gap if (groups - PILOT) * math.log(2) > wanted else math.inf
