"""The gate's arithmetic: what it says of samples whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.gate import evidence
from benchmarks.gate.decision import Judgement, Rule, Sample, judge
from benchmarks.gate.evidence import Bet
from benchmarks.gate.interval import log_ratio, ratio

TESTS = 5
MOST = 300


@pytest.fixture
def noise(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def stage(noise: np.random.Generator, name: str, shift: float, spread: float) -> Sample:
    sample = Sample(Rule(), name, TESTS)  # type: ignore[arg-type]
    while not sample.settled and len(sample.groups) < MOST:
        sample.add(shift + spread * float(noise.standard_t(3)) * 0.8)
    return sample


def verdict(noise: np.random.Generator, slower: float, spread: float = 0.012) -> Judgement:
    shift = math.log1p(slower)
    screen = stage(noise, "screen", shift, spread)
    again = None
    if screen.finding in ("SLOWER", "FASTER"):
        again = stage(noise, "confirmation", shift, spread)
    return judge([screen], [again], TESTS)[0]


def test_unchanged_code_is_equivalent_and_never_slower(noise):
    found = [verdict(noise, 0.0).verdict for _ in range(100)]
    assert set(found) <= {"EQUIVALENT", "INCONCLUSIVE"}
    assert found.count("EQUIVALENT") >= 95


@pytest.mark.parametrize(("slower", "want"), [(0.05, "SLOWER"), (-0.05, "FASTER")])
def test_a_change_is_found(noise, slower: float, want: str):
    found = [verdict(noise, slower).verdict for _ in range(40)]
    assert found.count(want) >= 39


def test_what_scatters_too_much_is_inconclusive_and_says_so(noise):
    found = verdict(noise, 0.0, spread=0.5)
    assert found.verdict == "INCONCLUSIVE"
    assert "scatter" in found.reason


def test_a_flag_that_is_not_confirmed_is_no_slow_down(noise):
    screen = stage(noise, "screen", math.log1p(0.1), 0.01)
    again = stage(noise, "confirmation", 0.0, 0.01)
    found = judge([screen], [again], TESTS)[0]
    assert screen.finding == "SLOWER"
    assert found.verdict == "EQUIVALENT"
    assert "not confirmed" in found.reason


def test_what_turns_round_is_no_change(noise):
    screen = stage(noise, "screen", math.log1p(0.1), 0.01)
    again = stage(noise, "confirmation", math.log1p(-0.1), 0.01)
    assert judge([screen], [again], TESTS)[0].verdict == "INCONCLUSIVE"


def test_a_bet_is_fair_on_what_is_symmetric(noise):
    """Over 4,000 players, the mean of what a bet made of 1 is 1, and few ever had 20."""
    final, best = [], []
    for _ in range(4000):
        bet = Bet(0.0, 1)
        for x in noise.standard_cauchy(30):
            bet.place(float(x), 1.0)
        final.append(math.exp(bet.log_value))
        best.append(bet.p_value)
    assert np.mean(final) < 1 + 4 * np.std(final) / math.sqrt(len(final))
    assert np.mean(np.array(best) <= 0.05) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / len(best))


def test_one_freak_sample_proves_nothing():
    bet = Bet(0.0, 1)
    bet.place(1e9, 1e-3)
    assert bet.p_value == pytest.approx(0.5, abs=0.01)


def test_the_interval_covers_its_truth(noise):
    """Of 600 intervals on 16 to 60 groups, at least 95% less what 600 trials leave open."""
    hits = 0
    for _ in range(600):
        groups = 0.01 + 0.02 * noise.standard_t(5, size=int(noise.integers(16, 60)))
        found = ratio(list(groups), seed=int(noise.integers(1 << 30)))
        assert found.low is not None and found.high is not None
        hits += found.low <= math.exp(0.01) <= found.high
    assert hits / 600 >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / 600)


def test_a_block_is_free_of_linear_drift():
    """ABBA at 100, 101, 102, 103 of equal sides."""
    assert log_ratio((100.0, 103.0), (101.0, 102.0)) == pytest.approx(0.0, abs=2e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_refused(bad: float):
    with pytest.raises(ValueError, match="finite"):
        Sample(Rule(), "screen", 1).add(bad)
    with pytest.raises(ValueError, match="not finite"):
        ratio([0.1, bad])


def test_holm_orders_and_caps():
    assert evidence.holm([0.01, 0.04, 0.03], 4) == pytest.approx([0.04, 0.09, 0.09])
    assert evidence.holm([0.9], 5) == [1.0]
    with pytest.raises(ValueError, match="tests"):
        evidence.holm([0.1, 0.2], 1)


def test_more_groups_and_less_scatter_detect_less(noise):
    sample = stage(noise, "screen", 0.0, 0.01)
    assert sample.detectable(0.5) < sample.detectable(2.0)
    assert evidence.detectable(0.01, 3, 1e-4, 0.005) == math.inf


def test_a_rule_needs_its_effects_in_order():
    with pytest.raises(ValueError, match="smallest_effect"):
        Rule(smallest_effect=0.001)
