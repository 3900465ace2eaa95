"""What schedules of annealing and margins come to on paper."""

from __future__ import annotations

import itertools

import pytest

from suites.claims.margins import (
    RELEASED,
    TO_ZERO,
    promised,
    promised_annealed,
    reaches_floor,
    share_of_psi,
)


def test_the_released_schedule_reaches_its_floor_at_1658_of_28000():
    """From the formula: 1000 / (1 + 0.12 t) = 5 at t = 199 / 0.12."""
    assert reaches_floor(RELEASED) == pytest.approx(1658.33, abs=0.01)
    for t, floor in ((1_658, False), (1_659, True)):
        assert (RELEASED(t / 28_000) == 5) is floor
    shares_of_psi = [share_of_psi(RELEASED(t / 28_000)) for t in range(28_001)]
    assert max(shares_of_psi) == pytest.approx(1 / 6)
    with pytest.raises(ValueError, match="floor: expected above 0; got 0"):
        reaches_floor(TO_ZERO)


def test_margins_promised_by_the_formula():
    assert [promised(m) for m in (1, 2, 3, 4)] == pytest.approx([0, 1 / 3, 1 / 2, 3 / 5])
    for m in (1, 2, 3, 4):
        assert promised_annealed(m, 0.0) == pytest.approx(promised(m))
    falling = [promised_annealed(4, annealing) for annealing in (0.0, 1.0, 5.0, 1_000.0)]
    assert all(a > b for a, b in itertools.pairwise(falling))
    assert falling[-1] < 0.01
