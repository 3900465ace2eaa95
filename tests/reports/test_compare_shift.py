"""What ``marginbench compare`` makes of a machine that drifts between two runs: by simulation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from reports.compare.benchmark_files import NOT_COMPARED, REGRESSION, exit_code
from reports.compare.loading import Measured, Timing
from reports.compare.ratios import PROCESS_SD, Found, Rule, compare

CASES, CONTENDERS = 20, 5
COUNT = CASES * CONTENDERS
PAIRS = 400
# The intervals allow 2.5% of 400 pairs, and what runs of one side say of the machine as many again:
# 10 and 20, with four standard deviations of the binomial above.
MOST, MOST_OF_RUNS = 22, 37


def run(logs: np.ndarray) -> Measured:
    """A run of 20 cases with 5 contenders each; ``logs`` of seconds."""
    timings = {
        str(i): Timing(float(v), 1e-4, case=str(i // CONTENDERS), contender=str(i % CONTENDERS))
        for i, v in enumerate(logs)
    }
    return Measured(Path(), {}, timings)


class Drawn:
    """Runs of identical code: all times of a run share a factor, each figure has its own."""

    def __init__(self, seed: int, drift: float, own: float = 0.03) -> None:
        self.draw = np.random.default_rng(seed)
        self.drift, self.own = drift / math.sqrt(2), own / math.sqrt(2)

    def logs(self) -> np.ndarray:
        return self.draw.normal(0, self.drift) + self.draw.normal(0, self.own, COUNT)

    def found(self, planted: np.ndarray | float = 0.0, runs: int = 1) -> Found:
        base = [run(self.logs()) for _ in range(runs)]
        return compare(base, [run(self.logs() + planted) for _ in range(runs)], Rule())


@pytest.mark.parametrize(
    ("drift", "own", "runs"),
    [(0.0, 0.03, 1), (0.03, 0.03, 1), (0.1, 0.03, 1), (0.1, 0.1, 1), (0.1, 0.03, 2)],
)
def test_identical_code_is_seldom_called_slower(seed: int, drift: float, own: float, runs: int):
    drawn = Drawn(seed, drift, own)
    codes = [exit_code(drawn.found(runs=runs).verdicts) for _ in range(PAIRS)]
    assert codes.count(REGRESSION) <= (MOST if runs == 1 else MOST_OF_RUNS)


def test_the_intervals_are_no_wider_than_they_say(seed: int):
    """Where nothing drifts, some 2% of identical pairs have a time that is called changed."""
    drawn = Drawn(seed, 0.0, PROCESS_SD)
    states = [{v.state for v in drawn.found().verdicts} for _ in range(2 * PAIRS)]
    assert sum(bool(one & {"SLOWER", "FASTER"}) for one in states) >= 1


@pytest.mark.parametrize("drift", [0.0, 0.03, 0.1])
def test_one_slow_contender_among_a_hundred_is_found(seed: int, drift: float):
    """Where the machine got faster by 10%, a time that is 30% longer is longer by 17% alone."""
    drawn = Drawn(seed, drift)
    planted = np.zeros(COUNT)
    planted[42] = math.log(1.3)
    found = [[v.name for v in drawn.found(planted).verdicts if v.state == "SLOWER"]
             for _ in range(100)]  # fmt: skip
    assert sum("42" in names for names in found) >= 70
    assert sum(names not in ([], ["42"]) for names in found) <= 10


@pytest.mark.parametrize(("factor", "drift"), [(1.3, 0.0), (1.3, 0.1), (1 / 1.3, 0.0)])
def test_a_change_to_everything_is_not_decided_by_one_run_a_side(
    seed: int, factor: float, drift: float
):
    """Never fine; a regression no more often than of identical code."""
    drawn = Drawn(seed, drift)
    found = [drawn.found(math.log(factor)) for _ in range(100)]
    codes = [exit_code(one.verdicts) for one in found]
    assert codes.count(NOT_COMPARED) >= 90 and set(codes) <= {NOT_COMPARED, REGRESSION}
    assert found[0].shift.log_ratio == pytest.approx(math.log(factor), abs=0.05 + 5 * drift)
    if not drift:
        warned = sum("the machine may be the cause" in v.reason for v in found[0].verdicts)
        assert warned > COUNT / 2


def test_several_runs_a_side_decide_a_change_to_everything(seed: int):
    """And do not where runs of one side differ by more: 5% of 40 pairs is 2."""
    found = Drawn(seed, 0.03).found(math.log(1.5), runs=4)
    assert sum(v.state == "SLOWER" for v in found.verdicts) > COUNT / 2
    drawn = Drawn(seed, 0.3)
    codes = [exit_code(drawn.found(math.log(1.02), runs=4).verdicts) for _ in range(40)]
    assert codes.count(NOT_COMPARED) >= 32


def test_a_neighbour_of_a_few_minutes_is_no_regression(seed: int):
    """Two cases of twenty, all contenders alike: no code of one loss slows every contender."""
    planted = np.zeros(COUNT)
    planted[: 2 * CONTENDERS] = math.log(1.4)
    drawn = Drawn(seed, 0.03)
    codes = [exit_code(drawn.found(planted).verdicts) for _ in range(PAIRS)]
    assert codes.count(REGRESSION) <= MOST


def test_what_did_not_change_is_not_slower_where_most_got_faster(seed: int):
    planted = np.full(COUNT, math.log(0.6))
    planted[::CONTENDERS] = 0.0
    assert exit_code(Drawn(seed, 0.0, 0.01).found(planted).verdicts) == NOT_COMPARED


def test_a_spread_estimated_from_few_figures_counts_for_what_it_is_worth(seed: int):
    """Eight figures that differ by 10%: 4% of pairs find one slower, 80 of 2,000 and four errors
    more; a normal distribution's quantile would let 170."""
    draw = np.random.default_rng(seed)
    sides = draw.normal(0, 0.1 / math.sqrt(2), (2000, 2, 8))
    codes = [exit_code(compare([run(a)], [run(b)], Rule()).verdicts) for a, b in sides]
    assert codes.count(REGRESSION) <= 120


def test_one_run_a_side_is_judged_by_the_spread_of_its_figures(seed: int):
    """Of 100 figures the median deviation gives 10% to within an eighth: the mean of forty draws to
    within 2%; five errors."""
    found = [Drawn(seed + k, 0.5, 0.1).found().process_sd for k in range(40)]
    assert np.mean(found) == pytest.approx(0.1, rel=0.1)
    assert Drawn(seed, 0.5, 0.001).found().process_sd == PROCESS_SD
