"""A-Softmax's margins on paper: what m promises, and what annealing leaves of it.

Angles in radians; theta is the angle between two class weights, of two classes.
"""

from __future__ import annotations

import math

from suites.jobs import Anneal

# wy1iu/sphereface f20b130, train/code/sphereface_model.prototxt; 28,000 iterations.
RELEASED = Anneal(1_000, 0.12, 1, 5, 28_000)
# wy1iu/LargeMargin_Softmax_Loss c3e9f20, myexamples/mnist: falls to 0.41 after a third of its
# 30,000 iterations and to 3e-6 at the end, with no floor.
TO_ZERO = Anneal(1_000, 2.5e-5, 35, 0, 30_000)


def reaches_floor(schedule: Anneal) -> float:
    """The iteration at which the schedule falls to its floor, from its own formula: the t where
    base (1 + gamma t)^-power = floor. Raises ValueError for a floor of 0 or less, which is never
    reached."""
    if schedule.floor <= 0:
        raise ValueError(f"floor: expected above 0; got {schedule.floor}")
    ratio = (schedule.base / schedule.floor) ** (1 / schedule.power)
    return max(0.0, (ratio - 1) / schedule.gamma)


def share_of_psi(annealing: float) -> float:
    """psi's weight in (lambda cos theta + psi) / (1 + lambda)."""
    return 1 / (1 + annealing)


def psi(theta: float, m: int) -> float:
    """(-1)^k cos(m theta) - 2k on [k pi / m, (k + 1) pi / m] (SphereFace, equation 7)."""
    k = min(int(m * theta / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def promised(m: int) -> float:
    """The angular margin over the angle between two class weights, (m - 1) / (m + 1)."""
    return (m - 1) / (m + 1)


def promised_annealed(m: int, annealing: float, theta: float = math.pi / 2) -> float:
    """The same where psi is blended with the cosine: 1 - 2 phi / theta, where phi is the angle to
    the own weight at which the blended target equals the other class's cosine (found by halving;
    the target falls with phi and the other cosine rises)."""
    low, high = 0.0, theta / 2
    for _ in range(60):
        phi = (low + high) / 2
        target = (annealing * math.cos(phi) + psi(phi, m)) / (1 + annealing)
        low, high = (phi, high) if target > math.cos(theta - phi) else (low, phi)
    return 1 - 2 * low / theta
