"""Margin functions against differences of angles: value, slope, radial part, and by each margin."""

from __future__ import annotations

import math

import pytest
import torch

from marginbench.shared import target_margins
from marginbench.shared.target_margins import of_cosine

ANGLES = torch.tensor([0.01, 0.3, 1.2, 1.9, 2.5, 2.8, 3.1], dtype=torch.float64)
# g(theta, margins) by the angle; theta stays off the steps of each.
CASES = {
    "less": (lambda t, m: math.cos(t) - m, (0.35,)),
    "turned": (lambda t, m: math.cos(t + m), (0.5,)),
    "guarded": (
        lambda t, m: math.cos(t + m) if t < math.pi - m else math.cos(t) - m * math.sin(m), (0.5,),
    ),
    "easy": (lambda t, m: math.cos(t + m) if t < math.pi / 2 else math.cos(t), (0.5,)),
    "combined": (lambda t, a, b, c: math.cos(a * t + b) - c, (0.9, 0.4, 0.15)),
    "multiplied": (lambda t, m: math.cos(min(m * t, math.pi)), (1.5,)),
}  # fmt: skip
_STEP = 1e-6


@pytest.mark.parametrize("name", CASES)
def test_value_and_derivatives(name: str):
    by_angle, margins = CASES[name]
    length_B = torch.linspace(0.5, 4, len(ANGLES), dtype=torch.float64)
    rows_PB = torch.tensor(margins, dtype=torch.float64)[:, None].expand(-1, len(ANGLES))
    plain_B = length_B * ANGLES.cos()
    found = of_cosine(getattr(target_margins, name))(plain_B, length_B, rows_PB)
    fixed = of_cosine(getattr(target_margins, name), *margins)(plain_B, length_B, None)
    assert all(torch.allclose(a, b, rtol=1e-15) for a, b in zip(found[:3], fixed[:3], strict=True))
    assert fixed[3] is None

    def logit(plain: float, length: float, *own: float) -> float:
        return length * by_angle(math.acos(plain / length), *own)

    for i, (a, n) in enumerate(zip(plain_B.tolist(), length_B.tolist(), strict=True)):
        target, slope, radial = (float(of[i]) for of in found[:3])
        assert target == pytest.approx(logit(a, n, *margins), abs=1e-12)
        step = _STEP * math.sin(float(ANGLES[i])) ** 2
        by_plain = (logit(a + step, n, *margins) - logit(a - step, n, *margins)) / (2 * step)
        by_length = (logit(a, n + step, *margins) - logit(a, n - step, *margins)) / (2 * step)
        assert slope == pytest.approx(by_plain, rel=1e-5, abs=1e-9)
        assert radial * n == pytest.approx(by_length, rel=1e-5, abs=1e-5)
        for p in range(len(margins)):
            up, down = (
                [m + way * _STEP * (k == p) for k, m in enumerate(margins)] for way in (1, -1)
            )
            by_margin = (logit(a, n, *up) - logit(a, n, *down)) / (2 * _STEP)
            assert float(found[3][p, i]) == pytest.approx(by_margin, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_at_the_poles_and_at_length_zero_all_is_finite(name: str):
    length_B = torch.tensor([2.0, 2.0, 0.0], dtype=torch.float64)
    plain_B = torch.tensor([2.0, -2.0, 0.0], dtype=torch.float64)
    margin = of_cosine(getattr(target_margins, name), *CASES[name][1])
    for of in margin(plain_B, length_B, None)[:3]:
        assert torch.isfinite(of).all() and of[2] == 0


def test_a_slope_that_has_a_limit_keeps_it():
    """cos(2 theta) = 2 c^2 - 1: its slope by c is 4 at theta = 0."""
    one_B = torch.ones(1, dtype=torch.float64)
    near_B = torch.tensor([1e-3], dtype=torch.float64).cos()
    at, beside = (target_margins.combined(c, 2.0, 0.0, 0.0)[1] for c in (one_B, near_B))
    assert float(at) == pytest.approx(4) and float(beside) == pytest.approx(4, rel=1e-5)
