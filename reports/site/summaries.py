"""What the overview asks of a machine's records: small, plain, and worked out once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from suites.schema import CaseKey

from .. import statistics
from ..agreement import ERRORS, errors
from ..comparison import Answer, Comparison, answer, compare, main_pass
from ..reading import BASE, REFERENCE, Measured, Records, is_interpreted
from ..rows import Rows


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
    results: tuple[int, ...]
    bests: Rows[Best]
    ranks: Rows[Rank]
    rightness: Rows[Rightness]


def summary(name: str, title: str, about: str, records: Records) -> Summary:
    last = records.sessions[-1]
    bests = Rows(map(_best, records.cases.but(suite="agreement")))
    timed = bests.where(lambda best: best.answer.state != "nothing" or best.peaks)
    results = records.results.by("status")
    return Summary(
        name=name, title=title, about=about, measured=last.started_at[:10], commit=last.commit,
        dirty=any(session.dirty for session in records.sessions), preset=last.preset,
        finished=records.finished,
        devices=tuple(timed.where(lambda best: best.answer.state != "nothing").each("device")),
        cases=len(records.cases),
        results=tuple(len(results.get(status, ())) for status in ("ok", "worse", "not_run")),
        bests=timed, ranks=Rows(_ranks(records)), rightness=Rows(_rightness(records)),
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


class _Ranked(NamedTuple):
    case: CaseKey
    answer: Answer
    one: Comparison


def _ranks(records: Records) -> list[Rank]:
    rows = Rows(
        _Ranked(measured.case, first, one)
        for measured in records.cases
        if measured.figure(BASE, main_pass(measured)) is not None
        for first in (answer(measured),)
        for one in compare(measured, first.metric)
        if one.contender != REFERENCE
    )
    groups = rows.by("loss", "device", lambda row: row.one.contender)
    ranks = []
    for (loss, device, contender), found in groups.items():
        right = found.where(lambda row: not row.one.wrong)
        timed = [(row.answer, speed) for row in right if (speed := _speed(row.one)) is not None]
        if not timed:
            continue
        speeds, wrong = [speed for _, speed in timed], len(found) - len(right)
        firsts = (row.answer.leaders[0] for row in right if row.answer.state == "winner")
        rivals = sum(first.state in ("winner", "unclear") for first, _ in timed)
        ranked = 2 * (len(timed) + wrong) >= len(groups.get((loss, device, BASE), ()))
        ranks.append(Rank(
            loss, device, contender, _mean(speeds), min(speeds), max(speeds), len(speeds),
            sum(name == contender for name in firsts), wrong, ranked, rivals,
        ))  # fmt: skip
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
    groups = errors(records).by("contender", "device", lambda row: is_interpreted(row.result))
    for (contender, device, interpreted), rows in groups.items():
        ran = rows.but(status="not_run")
        compared = ran.where(metric=ERRORS[0])
        multiples = ran.where(metric=ERRORS[1]).but(value=None)
        worst = max(multiples, key=lambda row: row.value or 0.0, default=None)
        where = worst or compared.first()
        reason = rows.first("reason", status="not_run")
        yield Rightness(
            contender, device, interpreted, len(compared), len(compared.where(status="worse")),
            len(rows) - len(ran), worst.value if worst else None, where.case.id if where else "",
            reason.reason if reason else "",
        )  # fmt: skip
