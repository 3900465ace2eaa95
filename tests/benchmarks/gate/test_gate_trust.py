"""What the gate's trial is said to show follows from its raw legs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_trust import CASES, NULL, SLOWED, Maker, Noise, write

from benchmarks.gate.decision import Rule, judge
from benchmarks.gate.interval import middle, ratio
from reports.gate.trust import coverage, false_alarms, others, replay, trials
from reports.gate.trust.power import ALL, power
from reports.gate.trust.shares import Share, percent
from reports.gate.trust.spreads import spread
from reports.gate.trust.trials import Legs, Trial, Trust
from reports.rows import Rows


def trust_of(folder: Path, counts: dict, noise: Noise | None = None) -> Trust:
    return trials.read(trials.find(write(folder, Maker(counts, noise))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("trust"), Maker({**NULL, **SLOWED}))


@pytest.fixture(scope="module")
def trust(folder: Path) -> Trust:
    return trials.read(trials.find(folder))


def test_a_lasting_bias_raises_false_alarms_and_none_does_not(tmp_path: Path):
    """Twice what is tolerated, at a scatter of half of it: 14 s hold a hundred groups."""
    quiet = {("quiet", 0.0): 6}
    biased = false_alarms.false_alarms(trust_of(tmp_path, quiet, Noise(0.01, 0, 0.005)), 30)
    assert biased.replayed["quiet"].slower.value > 0.9
    # A coin for each group takes the bias away: what is left is noise, whatever its shape.
    assert biased.swapped["quiet"].slower.hits == 0
    clean = false_alarms.false_alarms(trust_of(tmp_path, quiet), 60)
    assert false_alarms.total(clean.replayed) == Share(0, 60)


def test_what_lasts_as_long_as_a_process_stays_in_the_replay(tmp_path: Path):
    """Differences of 3% either way: about half of all screens are flagged SLOWER, and about half of
    their confirmations agree; with groups of all processes mixed none would."""
    noise = Noise(0, 0.03, 0.008)
    found = false_alarms.false_alarms(trust_of(tmp_path, {("quiet", 0.0): 20}, noise), 40)
    assert found.replayed["quiet"].slower.value > 0.1
    (one, *_) = found.spreads
    # 20 processes and more give a standard deviation within a factor of 2, nine times of ten
    # thousand apart (chi-squared, 19 degrees of freedom).
    assert 0.015 < one.between < 0.06
    assert one.within == pytest.approx(0.008, rel=0.2)


def _trial(name: str, fraction: float, leg: float, log_ratios=(0.0,)) -> Trial:
    """One case "c", quiet; its base's legs take ``leg`` seconds, its candidate's twice that."""
    groups = tuple(np.array([[leg, leg, 2 * leg, 2 * leg]]) for _ in log_ratios)
    legs = Legs("c", "screen", 1, 1.0, groups, np.array(log_ratios))
    verdicts = {"c": {"verdict": "EQUIVALENT", "seconds": 1.0}}
    return Trial(name, "quiet", fraction, 1.0, "", (), verdicts, {("c", "screen"): legs})


def test_what_lasts_is_what_scatter_does_not_explain():
    """By hand: means 1, 3, 5 have the variance 4, of which scatter (variance 2, two groups)
    explains 1; the last process's long-run mean is three quarters of the way from 3 to 5."""
    parts = ((0.0, 2.0), (2.0, 4.0), (4.0, 6.0))
    trials = tuple(_trial(str(k), 0.0, 1.0, part) for k, part in enumerate(parts))
    found = spread(Trust((), Rows(trials), Rule(), ("c",)), "c", "quiet", 0.0)
    assert (found.mean, found.between, found.within) == pytest.approx((3, 3**0.5, 2**0.5))
    assert found.lasting(np.array(parts[-1])) == pytest.approx(4.5)
    # Two groups about their own mean are always opposite: correction leaves nothing.
    assert found.neighbours == pytest.approx(0)


def test_one_run_after_the_other_pairs_the_unchanged_trial_before():
    trials = (_trial("a", 0.0, 1.0), _trial("b", 0.02, 10.0), _trial("c", 0.0, 100.0),
              _trial("d", 0.02, 1000.0))  # fmt: skip
    trust = Trust((), Rows(trials), Rule(), ("c",))
    pairs = others._in_turn(trust.of("quiet", 0.02), trust, "quiet")
    assert [(base[0], candidate[0]) for base, candidate in pairs] == [(1, 20), (100, 2000)]
    pairs = others._in_turn(trust.of("quiet", 0.0), trust, "quiet")
    assert [(base[0], candidate[0]) for base, candidate in pairs] == [(1, 200)]


def test_replayed_verdicts_are_those_of_the_gate():
    """`replay.verdicts` hands only what was flagged to `judge`; all of it gives the same."""
    random = np.random.default_rng(3)
    seen = set()
    for shift in (0.0, 0.012, 0.02, 0.03, -0.03, 0.005):
        screens, again = {}, {}
        for k in range(3):
            legs = Legs("c", "screen", 1, 4.0, (np.ones((1, 4)),) * 30,
                                random.normal(shift, 0.015, 30))  # fmt: skip
            for stage, to in (("screen", screens), ("confirmation", again)):
                if stage == "confirmation" and not screens[str(k)].flagged:
                    continue
                values = replay.stream(random, legs, shift, False)
                to[str(k)] = replay.to_the_stop(Rule(), stage, 3, values, legs.pace)
        whole = judge(list(screens.values()), [again.get(k) for k in screens], 3)
        found = replay.verdicts(screens, again, 3)
        assert list(found.values()) == [one.verdict for one in whole]
        seen |= set(found.values())
    assert seen >= {"SLOWER", "FASTER", "EQUIVALENT"}


def test_a_replay_stops_where_the_gate_would():
    never = replay.to_the_stop(Rule(), "screen", 5, iter([0.0, 0.2, -0.2] * 100), 1.0)
    assert len(never.groups) == 14 and not never.settled
    soon = replay.to_the_stop(Rule(), "screen", 5, iter([0.001, -0.001] * 100), 0.1)
    assert len(soon.groups) == Rule().fewest_groups and soon.settled


def test_groups_are_not_drawn_twice_while_there_are_others():
    values = np.arange(20) / 1000
    legs = Legs("c", "screen", 1, 2.0, (), values)
    stream = replay.stream(np.random.default_rng(0), legs, 0.5, False)
    first = [next(stream) for _ in range(20)]
    assert sorted(first) == pytest.approx(list(values)) and first != sorted(first)
    later = [next(stream) for _ in range(2000)]
    # The mean of 2,000 draws is within five standard errors of what lasts.
    assert np.mean(later) == pytest.approx(0.5, abs=5 * values.std() / math.sqrt(2000))


def test_two_percent_are_found(trust: Trust):
    rows = {(p.load, p.fraction, p.case): p for p in power(trust)}
    whole = rows["quiet", 0.02, ALL]
    assert whole.found.of == 4 * len(CASES)
    assert whole.found.value > 0.8
    assert rows["quiet", 0.05, ALL].found.value == 1
    one = rows["quiet", 0.05, CASES[0]]
    # Two trials of two stages of at least 16 groups: 5 standard errors of 1% in each.
    assert one.realised[0] == pytest.approx(1.05, abs=5 * 0.01 * 1.25 / math.sqrt(64))


def test_late_is_not_found(folder: Path, tmp_path: Path):
    lines = list(map(json.loads, (folder / "trust.jsonl").open()))
    for line in lines:
        for verdict in line.get("verdicts", ()):
            verdict["seconds"] = 31.0
    (tmp_path / "trust.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert all(p.found.hits == 0 for p in power(trials.read(tmp_path / "trust.jsonl")))


def test_the_middle_is_the_gates_own_estimate():
    for size in (8, 17, 40):
        values = np.random.default_rng(size).standard_t(3, size) * 0.01
        assert math.exp(middle(values)) == pytest.approx(ratio(list(values)).estimate, rel=1e-12)


def test_coverage_counts_what_an_interval_holds():
    count = coverage._counted("quiet", 0.0, [(-1, 1, 0), (0.1, 1, 0), (-1, -0.1, 0), (-1, 2, 1)])
    assert (count.covered, count.above, count.width) == (Share(2, 4), 1, 1.45)


def test_the_replay_of_gaussian_groups_covers_what_the_interval_does(tmp_path: Path):
    """Of normal samples of 16 to 48 groups, drawn afresh, the interval alone covers 95.6 to 96.7%
    (1,500 samples each); a share of 240 has a standard error of at most 1.6%."""
    found = coverage.coverages(trust_of(tmp_path, {("quiet", 0.02): 6}), 240)
    share = coverage.overall(found.replayed)
    assert share.of >= 240
    assert 0.93 <= share.value <= 0.99


# Other tools


def test_the_rules_of_others_on_series_whose_answer_is_known():
    base = np.linspace(1, 4, 200)
    assert not any(rule(base, base) for rule in others.RULES.values())
    assert {name for name, rule in others.RULES.items() if rule(base, base * 1.06)} == {
        "pytest-benchmark, mean:5%", "pytest-benchmark, min:5%"}  # fmt: skip
    assert all(rule(base, base * 1.2) for rule in others.RULES.values())
    assert not any(rule(base * 1.2, base) for rule in others.RULES.values())
    # Significant, but not by the factor; and by the factor, but of too few to be significant.
    near = np.linspace(1, 1.1, 200)
    assert not others.asv(near, near * 1.09) and others.pooled(near, near * 1.09)
    assert not others.asv(np.array([1.0, 2, 3]), np.array([1.2, 2.4, 3.6]))


def test_mann_whitney_is_scipys():
    from scipy import stats

    random = np.random.default_rng(0)
    one, other = random.normal(0, 1, 40), random.normal(0.4, 1, 50)
    theirs = stats.mannwhitneyu(one, other, method="asymptotic", use_continuity=False).pvalue
    assert others.mann_whitney(one, other) == pytest.approx(theirs, rel=1e-9)


def test_all_rules_are_asked_of_every_trial(trust: Trust):
    found = {(o.rule, o.series, o.load, o.fraction): o.slower for o in others.side_by_side(trust)}
    unchanged, cases = NULL["quiet", 0.0], len(CASES)
    for rule in others.RULES:
        assert found[rule, others.INTERLEAVED, "quiet", 0.0].of == unchanged * cases
        # The first unchanged trial has none before it.
        assert found[rule, others.IN_TURN, "quiet", 0.0].of == (unchanged - 1) * cases
        assert found[rule, others.IN_TURN, "quiet", 0.02].of == 4 * cases
    assert found[others.OURS, others.INTERLEAVED, "quiet", 0.05] == Share(2 * cases, 2 * cases)
    # 5% is where the threshold itself stands: a coin. 2% it never sees.
    assert found["pytest-benchmark, mean:5%", others.INTERLEAVED, "quiet", 0.02].hits == 0


def test_shares():
    # Clopper and Pearson's bounds where they have a closed form.
    assert Share(0, 300).upper == pytest.approx(1 - 0.05 ** (1 / 300))
    assert Share(0, 300).high == pytest.approx(1 - 0.025 ** (1 / 300))
    assert Share(20, 20).low == pytest.approx(0.025 ** (1 / 20))
    assert (Share(0, 9).low, Share(9, 9).high) == (0, 1)
    assert percent(0.001) == "0.10%" and percent(1) == "100%" and percent(0.05) == "5.0%"
    with pytest.raises(ValueError, match="hits"):
        Share(3, 2)
