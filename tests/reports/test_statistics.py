"""The statistics of a report: intervals cover what they promise, figures are written plainly."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reports import statistics, units
from suites.interval import Interval


def drifting(
    noise: np.random.Generator, n: int, ratio: float, heavy: bool
) -> tuple[list[float], list[float]]:
    """Paired rounds of two contenders, one ``ratio`` times as slow: both follow the same random
    walk, each has log-normal noise of its own and, if ``heavy``, now and then a long delay."""
    drift = np.exp(np.cumsum(noise.normal(0, 0.1, n)))
    times = []
    for scale in (ratio, 1.0):
        own = noise.normal(0, 0.05, n)
        if heavy:
            own += (noise.random(n) < 0.1) * noise.exponential(0.5, n)
        times.append((scale * drift * np.exp(own)).tolist())
    return times[0], times[1]


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize(("n", "repeats"), [(5, 12_000), (6, 4000), (8, 4000), (31, 4000)])
def test_a_ratio_is_covered_as_often_as_promised(seed: int, n: int, repeats: int, heavy: bool):
    noise = np.random.default_rng(seed)
    hits = 0
    for _ in range(repeats):
        interval = statistics.ratio_interval(*drifting(noise, n, 1.3, heavy))
        hits += not interval.excludes(1.3)
    # Four standard errors of a share of 0.95 beside the 93 to 97% that are promised; of five
    # rounds, the widest interval there is covers 1 - 2/2^5 = 93.75%.
    slack = 4 * math.sqrt(0.95 * 0.05 / repeats)
    assert 0.93 - slack <= hits / repeats <= 0.97 + slack


def test_drift_that_hits_both_changes_nothing(seed: int):
    noise = np.random.default_rng(seed)
    a, b = noise.lognormal(size=(2, 20))
    drift = np.exp(np.cumsum(noise.normal(0, 1, 20)))
    calm, stormy = statistics.ratio_interval(a, b), statistics.ratio_interval(a * drift, b * drift)
    for name in ("estimate", "low", "high"):
        # Two roundings of each product and one of the quotient.
        assert getattr(stormy, name) == pytest.approx(getattr(calm, name), rel=1e-14)


def test_the_inverse_ratio_has_the_inverse_interval(seed: int):
    noise = np.random.default_rng(seed)
    a, b = noise.lognormal(size=(2, 17))
    one, other = statistics.ratio_interval(a, b), statistics.ratio_interval(b, a).inverse
    assert (one.estimate, one.low, one.high) == pytest.approx(
        (other.estimate, other.low, other.high), rel=1e-13
    )


def test_many_rounds_agree_with_a_plain_bootstrap(seed: int):
    """With n large the calibration vanishes: ends lie within a rank or two of the percentiles of
    resampled medians (whose own Monte Carlo error is below a rank)."""
    values = np.arange(1.0, 202.0)
    drawn = np.random.default_rng(seed).choice(values, (4000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    interval = statistics.median_interval(values.tolist())
    assert abs(interval.low - low) <= 3 and abs(interval.high - high) <= 3


@pytest.mark.parametrize("n", range(1, 9))
def test_fewer_than_five_rounds_have_no_interval(n: int):
    interval = statistics.median_interval([1.0 + i for i in range(n)])
    assert (interval.low is None) == (n < 5)
    assert interval.count == n
    if n < 5:
        assert "no interval" in units.bounds(interval)


@pytest.mark.parametrize("rounds", [[], [math.nan], [0.0, -1.0], [math.inf]])
def test_nothing_usable_is_nothing(rounds: list[float]):
    assert statistics.median_interval(rounds) is None
    assert statistics.ratio_interval(rounds, [1.0] * len(rounds)) is None


def test_a_pair_with_an_impossible_time_is_left_out():
    interval = statistics.ratio_interval([2, 2, math.nan, 2, 2, 2, 9], [1, 1, 1, 1, 0, 1])
    assert (interval.estimate, interval.count) == (2, 4)


def test_quantiles():
    assert statistics.quantiles([4, 1, 3, 2, 5]) == pytest.approx([1.2, 2, 3, 4, 4.8])
    assert statistics.quantiles([]) == [None] * 5


def test_growth_of_an_exact_power_law():
    fit = statistics.growth({s: [3e-9 * s**1.5] for s in (64, 512, 1024)})
    assert fit.exponent.estimate == pytest.approx(1.5)
    assert fit.local == pytest.approx((1.5, 1.5))
    assert fit.at(256) == pytest.approx(3e-9 * 256**1.5)
    assert fit.exponent.low is None, "one figure a size has no interval"
    assert statistics.growth({64: [1.0, 2.0]}) is None


def test_the_growth_exponent_is_covered(seed: int):
    noise = np.random.default_rng(seed)
    hits, repeats = 0, 800
    for _ in range(repeats):
        rounds = {
            s: (1e-8 * s**2 * np.exp(noise.normal(0, 0.05, 12))).tolist()
            for s in (256, 512, 1024, 2048)
        }
        hits += not statistics.growth(rounds).exponent.excludes(2)
    # The bootstrap of a median is a little wide: 97% is what it gives, 93% what it must.
    assert hits / repeats >= 0.93


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.time(1.2345e-3), "1.23 ms"),
        (units.time(9.999e-4), "1.00 ms"),
        (units.time(2.5e-7), "250 ns"),
        (units.time(3.0), "3.00 s"),
        (units.time(None), units.NOTHING),
        (units.size(5 * 2**20), "5.00 MiB"),
        (units.size(12), "12 B"),
        (units.digits3(0.0012345), "0.00123"),
        (units.digits3(2e-7), "2.00e-7"),
        (units.digits3(999.9), "1,000"),
        (units.digits3(math.nan), units.NOTHING),
        (units.count(100_000), "100k"),
        (units.count(65_536), "65536"),
        (units.tick("10.0 ms"), "10 ms"),
        (units.tick("100 ms"), "100 ms"),
        (units.speed(Interval(2.314, 2.1, 2.549, 20)), "2.31× faster [2.10, 2.55]"),
        (units.speed(Interval(0.5, 0.4, 0.8, 20)), "2.00× slower [1.25, 2.50]"),
        (units.speed(Interval(1.02, 0.97, 1.06, 20)), "1.02× as fast [0.970, 1.06]"),
        (units.speed(Interval(3.0, None, None, 3)), "3.00× faster (no interval: 3 rounds)"),
    ],
)
def test_figures_are_written_as_people_read_them(shown: str, expected: str):
    assert shown == expected


def test_the_interval_is_a_plain_value():
    assert replace(Interval(2, 1, 4, 9)).inverse == Interval(0.5, 0.25, 1, 9)
