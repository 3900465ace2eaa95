"""What the overview asks of a machine's records: small, plain, and worked out once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from suites.schema import CaseKey

from .. import statistics
from ..agreement import ERRORS, errors
from ..comparison import Answer, Comparison, answer, compare, main_pass
from ..grouping import grouped
from ..reading import BASE, REFERENCE, Measured, Records, is_interpreted


@dataclass(frozen=True)
class Best:
    """Who to use in a timed case. ``peaks``: peak bytes by contender, smallest first."""

    case: CaseKey
    answer: Answer
    time_s: float | None
    peaks: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Rank:
    """A contender of a loss on a device. ``speed``: geometric mean over ``cases`` of its speed
    relative to eager, of the cases that it got right; ``wrong``: cases that it did not.
    ``ranked``: it was timed in at least half of the loss's cases; one that was not says too little
    of the loss to come before one that was. ``rivals``: of ``cases``, those in which another was
    timed too and was right; only these can be won."""

    loss: str
    device: str
    contender: str
    speed: float
    lowest: float
    highest: float
    cases: int
    won: int
    wrong: int
    ranked: bool = True
    rivals: int = 0


@dataclass(frozen=True)
class Rightness:
    """A contender's comparisons with the float64 reference on one device. ``worst``: the largest
    multiple of eager's own error, with the case that it was in."""

    contender: str
    device: str
    interpreted: bool
    comparisons: int
    failed: int
    not_run: int
    worst: float | None
    where: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """``name``: the folder's id; ``title``: the machine. ``devices``: where anything was timed."""

    name: str
    title: str
    about: str
    measured: str
    commit: str
    dirty: bool
    preset: str
    finished: bool
    devices: tuple[str, ...]
    cases: int
    results: tuple[int, int, int]
    bests: tuple[Best, ...]
    ranks: tuple[Rank, ...]
    rightness: tuple[Rightness, ...]


def summary(name: str, title: str, about: str, records: Records) -> Summary:
    last = records.sessions[-1]
    bests = tuple(_best(m) for m in records.cases if m.case.suite != "agreement")
    timed = tuple(best for best in bests if best.answer.state != "nothing" or best.peaks)
    states = [result.status for _, result in records.results()]
    return Summary(
        name=name, title=title, about=about, measured=last.started_at[:10], commit=last.commit,
        dirty=any(session.dirty for session in records.sessions), preset=last.preset,
        finished=records.finished,
        devices=tuple(dict.fromkeys(
            best.case.device for best in timed if best.answer.state != "nothing"
        )),
        cases=len(records.cases),
        results=(states.count("ok"), states.count("worse"), states.count("not_run")),
        bests=timed, ranks=tuple(_ranks(records)), rightness=tuple(_rightness(records)),
    )  # fmt: skip


def _best(measured: Measured) -> Best:
    one = answer(measured)
    peaks = [
        (name, peak)
        for name in measured.contenders()
        if name != REFERENCE and (peak := measured.value(name, "peak_bytes")) is not None
    ]
    time_s = measured.value(one.leaders[0], one.metric) if one.leaders else None
    return Best(measured.case, one, time_s, tuple(sorted(peaks, key=lambda peak: peak[1])))


def _ranks(records: Records) -> list[Rank]:
    rows = [
        (measured.case, first, one)
        for measured in records.cases
        if measured.figure(BASE, main_pass(measured)) is not None
        for first in (answer(measured),)
        for one in compare(measured, first.metric)
        if one.contender != REFERENCE
    ]
    groups = grouped(rows, lambda row: (row[0].loss, row[0].device, row[2].contender))
    ranks = []
    for key, found in groups.items():
        right = [(first, one) for _, first, one in found if not one.wrong]
        timed = [(first, speed) for first, one in right if (speed := _speed(one)) is not None]
        if not timed:
            continue
        speeds, wrong = [speed for _, speed in timed], len(found) - len(right)
        won = sum(first.state == "winner" and first.leaders[0] == key[2] for first, _ in right)
        rivals = sum(first.state in ("winner", "unclear") for first, _ in timed)
        ranked = 2 * (len(timed) + wrong) >= len(groups.get((*key[:2], BASE), ()))
        ranks.append(Rank(*key, _mean(speeds), min(speeds), max(speeds), len(speeds), won, wrong,
                          ranked, rivals))  # fmt: skip
    return sorted(ranks, key=_place)


def _speed(one: Comparison) -> float | None:
    """Relative to eager; None where that is no number above 0."""
    if one.contender == BASE:
        return 1.0
    return next(iter(statistics.positive([one.ratio.estimate])), None) if one.ratio else None


def _place(rank: Rank) -> tuple[object, ...]:
    return rank.loss, rank.device, not rank.ranked, -rank.speed, rank.contender


def _mean(speeds: list[float]) -> float:
    return math.exp(sum(map(math.log, speeds)) / len(speeds))


def _rightness(records: Records) -> Iterator[Rightness]:
    """By contender, and whether it was Triton's interpreter that computed it."""
    groups = grouped(
        errors(records),
        lambda row: (row[1].contender, row[0].case.device, is_interpreted(row[1])),
    )
    for key, rows in groups.items():
        ran = [(m, r) for m, r in rows if r.status != "not_run"]
        compared = [(m, r) for m, r in ran if r.metric == ERRORS[0]]
        multiples = [(m, r) for m, r in ran if r.metric != ERRORS[0] and r.value is not None]
        worst = max(multiples, key=lambda row: row[1].value or 0.0, default=None)
        where = worst or next(iter(compared), None)
        yield Rightness(
            *key, len(compared), sum(r.status == "worse" for _, r in compared),
            len(rows) - len(ran), worst[1].value if worst else None,
            where[0].case.id if where else "",
            next((r.reason for _, r in rows if r.status == "not_run" and r.reason), ""),
        )  # fmt: skip
