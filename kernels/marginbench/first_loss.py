"""What a head over cosines costs before it has learnt anything, from its settings alone.

Class weights start as random directions. The cosine of a given direction with a random one in D
dimensions has the density (1 - c^2)^((D - 3) / 2), and

    E e^(s c) = Gamma(D / 2) (2 / s)^(D / 2 - 1) I_{D/2-1}(s) = sum_k (s^2 / 4)^k Gamma(D / 2) /
    (k! Gamma(D / 2 + k)),

about e^(s^2 / 2 D). A loss of n classes is then about log(n - 1) + log E e^(s c) less the target's
logit, whose own cosine is random too: for CosFace some log n + s^2 / 2 D + s m. A first logged loss
that differs says that classes, rate, scale, margin or dimension are not what was meant.

Plain Python: torch is not imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

# Angles that an expectation over the target's cosine is taken at: at D = 4096 a standard deviation
# of the angle is still 5 of them wide, and a right angle is the edge of two.
_ANGLES = 1024
_DEVIATIONS = 4


@dataclass(frozen=True)
class FirstLoss:
    """``value`` is expected; one row is off by about ``deviation`` (standard deviation), and all
    rows by up to ``bias``, for a sum over random classes is not its mean. Where the bias is not
    small, a few classes make up the sum, and the value says little."""

    value: float
    deviation: float
    bias: float

    def tolerance(self, rows: int) -> float:
        """How far the mean over so many rows may be off."""
        return _DEVIATIONS * self.deviation / math.sqrt(rows) + self.bias


def log_mean_exp(scale: float, dim: int) -> float:
    """log E exp(scale cos theta) over random directions in ``dim`` dimensions, dim >= 2."""
    terms, largest, k = [0.0], 0.0, 0
    # They grow up to k of at most the scale, and then fall ever faster.
    while k <= scale or terms[-1] > largest - 50:
        terms.append(terms[-1] + 2 * math.log(scale / 2) - math.log((k + 1) * (dim / 2 + k)))
        largest, k = max(largest, terms[-1]), k + 1
    return largest + math.log(math.fsum(math.exp(t - largest) for t in terms))


def first_loss(
    target: Callable[[float], float],
    *,
    classes: int,
    dim: int,
    scale: float,
    rate: float = 1.0,
) -> FirstLoss:
    """The loss with random class weights.

    ``target`` gives the target's logit over the scale at a cosine; ``rate`` is the share of the
    ``classes`` (at least two of them) that a row's denominator holds.
    """
    others = max(1.0, rate * classes - 1)
    mean = log_mean_exp(scale, dim)
    # Of the others' sum, over the square of its mean; half of it is taken off its logarithm.
    spread = math.expm1(log_mean_exp(2 * scale, dim) - 2 * mean) / others
    total = math.log(others) + mean
    weights, terms = [], []
    for i in range(_ANGLES):
        theta = (i + 0.5) * math.pi / _ANGLES
        weights.append(math.exp((dim - 2) * math.log(math.sin(theta))))
        over = total - scale * target(math.cos(theta))
        terms.append(max(over, 0.0) + math.log1p(math.exp(-abs(over))))
    norm = math.fsum(weights)
    value = math.fsum(w * t for w, t in zip(weights, terms, strict=True)) / norm
    square = math.fsum(w * (t - value) ** 2 for w, t in zip(weights, terms, strict=True)) / norm
    return FirstLoss(value - spread / 2, math.sqrt(square + spread), spread)
