"""A report's comparisons: they name the winner, and compare only what is comparable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_run import IDENTITY, RUN, Maker

from benchmarks.records.loading import CaseEnd, Line, RunEnd, arrange
from reports import comparison, overview, reading, scaling, statistics
from reports.reading import Records
from suites.schema import CaseKey

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
        case = replace(CASE, batch=batch, classes=batch // 4)
        lines += timed(maker, case, times(eager=batch**-2.0))
    found = list(scaling.panels(records_of(lines), "batch"))
    assert [panel.sizes for panel in found] == [[256, 512], [1024, 2048]]
    same = [
        replace(line, identity=dict(IDENTITY)) if line.kind == "session" else line for line in lines
    ]
    joined = list(scaling.panels(records_of(same), "batch"))
    assert [panel.sizes for panel in joined] == [[256, 512, 1024, 2048]]
    assert joined[0].lines[0].growth.exponent.estimate == pytest.approx(2, rel=1e-2)


def test_a_line_keeps_everything_but_its_axis():
    maker = Maker()
    sizes = [(512, 128), (1024, 256), (1024, 8)]
    lines: list[Line] = [maker.start()]
    for batch, classes in sizes:
        case = replace(CASE, batch=batch, classes=classes)
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
