"""The statistics of a report: intervals cover what they promise, comparisons name the winner."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_run import IDENTITY, RUN, Maker

from benchmarks.records import CaseEnd, CaseKey, Line, RunEnd, arrange
from reports import comparison, overview, reading, scaling, statistics, units
from reports.reading import Records
from reports.statistics import Interval


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
    assert interval.rounds == n
    if n < 5:
        assert "no interval" in units.bounds(interval)


@pytest.mark.parametrize("rounds", [[], [math.nan], [0.0, -1.0], [math.inf]])
def test_nothing_usable_is_nothing(rounds: list[float]):
    assert statistics.median_interval(rounds) is None
    assert statistics.ratio_interval(rounds, [1.0] * len(rounds)) is None


def test_a_pair_with_an_impossible_time_is_left_out():
    interval = statistics.ratio_interval([2, 2, math.nan, 2, 2, 2, 9], [1, 1, 1, 1, 0, 1])
    assert (interval.estimate, interval.rounds) == (2, 4)


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


CASE = CaseKey(
    suite="speed", loss="triplet", variant="batch-all", variant_version=1, family="batch",
    batch=512, dim=128, classes=128, dtype="float32", device="cpu", data="drawn", seed=0,
)  # fmt: skip


def records_of(lines: list[Line]) -> Records:
    return reading.arrange(arrange(lines), Path("records.jsonl"))


def timed(maker: Maker, case: CaseKey, times: dict[str, list[float]], **rest) -> list[Line]:
    results = [
        maker.result(case, name, "both_time_s", value=float(np.median(rounds)), rounds=rounds,
                     **rest)
        for name, rounds in times.items()
    ]  # fmt: skip
    return [*results, CaseEnd(run=RUN, session=maker.session, case=case.id, seconds=1)]


def answer_of(times: dict[str, list[float]], extra: tuple[Line, ...] = (), **rest):
    maker = Maker()
    lines = [maker.start(), *extra, *timed(maker, CASE, times, **rest)]
    return comparison.answer(records_of(lines).cases[0])


STEADY = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01]


def times(**speeds: float) -> dict[str, list[float]]:
    """Speed over eager, with rounds that differ a little."""
    shift = {name: place for place, name in enumerate(speeds)}
    return {
        name: [value / speed for value in np.roll(STEADY, shift[name])]
        for name, speed in speeds.items()
    }


def test_the_fastest_wins_by_its_margin_over_eager():
    one = answer_of(times(eager=1, compiled=2, triton=4))
    assert (one.state, one.leaders, one.against) == ("winner", ("triton",), "eager")
    assert one.margin.low < 4 < one.margin.high


def test_eager_wins_over_the_next():
    one = answer_of(times(eager=1, compiled=0.5, triton=0.25))
    assert (one.title, one.against) == ("eager", "compiled")
    assert one.margin.estimate == pytest.approx(2, rel=0.05)


def test_no_clear_winner_where_the_interval_contains_1():
    one = answer_of(times(eager=1, compiled=1.001))
    assert one.state == "unclear" and set(one.leaders) == {"eager", "compiled"}
    tied_ahead = answer_of(times(eager=1, compiled=3, triton=3.001))
    assert tied_ahead.state == "unclear" and set(tied_ahead.leaders) == {"compiled", "triton"}


def test_few_rounds_name_no_winner_nor_call_anyone_level():
    few = {name: rounds[:4] for name, rounds in times(eager=1, triton=9).items()}
    one = answer_of(few)
    assert (one.state, one.leaders, one.scarce) == ("unclear", ("triton",), ("eager",))
    assert one.title == "too few rounds to rank" and one.by.endswith(
        "; too few rounds to rank eager"
    )
    records = records_of([Maker().start(), *timed(Maker(), CASE, few)])
    assert "no clear winner in 1 (1 of them with too few rounds)" in overview.lead(records)
    level = answer_of(times(eager=1, compiled=1.001) | {"triton": few["eager"][:3]})
    assert level.title == "no clear winner" and not level.is_short_of_rounds
    assert set(level.leaders) == {"eager", "compiled"} and level.scarce == ("triton",)


def test_fast_and_wrong_does_not_win():
    maker = Maker()
    wrong = maker.result(CASE, "triton", "relative_error", status="worse", value=0.3, reason="bad")
    one = answer_of(times(eager=1, compiled=2, triton=9), extra=(wrong,))
    assert (one.leaders, one.excluded) == (("compiled",), ("triton",))


@pytest.mark.parametrize(
    "rest",
    [
        {"of": {"mode": "interpreter"}},
        {"protocol": {"instrument": "pytest-benchmark"}},
        {"status": "worse", "reason": "a timed call gave a wrong result"},
    ],
)
def test_times_that_are_no_evidence_are_not_compared(rest: dict):
    assert answer_of(times(eager=1, triton=2), **rest).state == "nothing"


def test_the_reference_is_no_candidate_and_one_alone_is_said_so():
    one = answer_of(times(reference=5, eager=1))
    assert (one.state, one.title) == ("alone", "only eager was timed")


def test_machines_are_never_mixed():
    """Sizes measured on two machines lie on no common line."""
    first = Maker(session="a")
    second = Maker(session="b", identity={**IDENTITY, "cpu": "another"})
    lines: list[Line] = [first.start(), second.start()]
    for maker, batch in ((first, 256), (first, 512), (second, 1024), (second, 2048)):
        case = CASE.model_copy(update={"batch": batch, "classes": batch // 4})
        lines += timed(maker, case, times(eager=batch**-2.0))
    found = list(scaling.panels(records_of(lines), "batch"))
    assert [panel.sizes for panel in found] == [[256, 512], [1024, 2048]]
    same = [
        line.model_copy(update={"identity": dict(IDENTITY)}) if line.kind == "session" else line
        for line in lines
    ]
    joined = list(scaling.panels(records_of(same), "batch"))
    assert [panel.sizes for panel in joined] == [[256, 512, 1024, 2048]]
    assert joined[0].lines[0].growth.exponent.estimate == pytest.approx(2, rel=1e-2)


def test_a_line_keeps_everything_but_its_axis():
    maker = Maker()
    sizes = [(512, 128), (1024, 256), (1024, 8)]
    lines: list[Line] = [maker.start()]
    for batch, classes in sizes:
        case = CASE.model_copy(update={"batch": batch, "classes": classes})
        lines += timed(maker, case, times(eager=1))
    records = records_of(lines)
    assert [p.sizes for p in scaling.panels(records, "batch")] == [[512, 1024]]
    assert [p.sizes for p in scaling.panels(records, "classes")] == [[8, 256]]


def test_what_did_not_end_does_not_count():
    maker = Maker()
    lines = [maker.start([CASE.id]), *timed(maker, CASE, times(eager=1))[:-1]]
    records = records_of(lines)
    assert not records.cases and records.missing == [CASE.id] and not records.finished
    ended = records_of([*lines, CaseEnd(run=RUN, session=maker.session, case=CASE.id, seconds=1),
                        RunEnd(run=RUN, session=maker.session, seconds=1)])  # fmt: skip
    assert len(ended.cases) == 1 and ended.finished


def test_the_interval_is_a_plain_value():
    assert replace(Interval(2, 1, 4, 9)).inverse == Interval(0.5, 0.25, 1, 9)


def test_five_rounds_cover_by_their_whole_range_and_equals_win_once_in_twenty_at_most(seed: int):
    """What the page says of its winners: two equals, then four."""
    noise = np.random.default_rng(seed)
    found = statistics.median_interval([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (found.low, found.high) == (pytest.approx(1.0), pytest.approx(5.0))
    won = {}
    for count in (2, 4):
        drawn = np.exp(noise.normal(0, 0.1, (400, count, 12)))
        names = ("eager", "compiled", "triton", "tiled")[:count]
        cases = (answer_of({n: list(r) for n, r in zip(names, one, strict=True)}) for one in drawn)
        won[count] = sum(one.state == "winner" for one in cases) / 400
    assert won[4] < won[2] < 0.10
