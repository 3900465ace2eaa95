"""What the overview asks of a machine's records: small, plain, and worked out once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .. import comparison, statistics
from ..agreement import ERRORS
from ..comparison import answer, main_pass
from ..reading import BASE, REFERENCE, Measured, Records, is_interpreted
from ..statistics import Interval


@dataclass(frozen=True)
class Best:
    """Who to use in a timed case: ``state``, ``margin`` and ``scarce`` are `comparison.Answer`'s.
    ``peaks``: peak bytes by contender, smallest first."""

    case: str
    loss: str
    variant: str
    family: str
    batch: int
    dim: int
    classes: int
    dtype: str
    device: str
    data: str
    state: str
    leaders: tuple[str, ...]
    against: str
    margin: Interval | None
    time_s: float | None
    peaks: tuple[tuple[str, float], ...]
    scarce: tuple[str, ...] = ()


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
    timed = tuple(best for best in bests if best.state != "nothing" or best.peaks)
    states = [result.status for _, result in records.results()]
    return Summary(
        name=name, title=title, about=about, measured=last.started_at[:10], commit=last.commit,
        dirty=any(session.dirty for session in records.sessions), preset=last.preset,
        finished=records.finished,
        devices=tuple(dict.fromkeys(best.device for best in timed if best.state != "nothing")),
        cases=len(records.cases),
        results=(states.count("ok"), states.count("worse"), states.count("not_run")),
        bests=timed, ranks=tuple(_ranks(records)), rightness=tuple(_rightness(records)),
    )  # fmt: skip


def _best(measured: Measured) -> Best:
    one, case = answer(measured), measured.case
    leader = measured.figure(one.leaders[0], one.metric) if one.leaders else None
    peaks = [
        (name, figure.value)
        for name in measured.contenders()
        if name != REFERENCE and (figure := measured.figure(name, "peak_bytes"))
        and figure.value is not None
    ]  # fmt: skip
    return Best(
        case.id, case.loss, case.variant, case.family, case.batch, case.dim, case.classes,
        case.dtype, case.device, case.data, one.state, one.leaders, one.against, one.margin,
        leader.value if leader else None, tuple(sorted(peaks, key=lambda peak: peak[1])),
        one.scarce,
    )  # fmt: skip


def _ranks(records: Records) -> list[Rank]:
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for measured in records.cases:
        metric = main_pass(measured)
        if measured.figure(BASE, metric) is None:
            continue
        first = answer(measured)
        winner = first.leaders[0] if first.state == "winner" else ""
        for one in comparison.compare(measured, metric):
            if one.contender == REFERENCE:
                continue
            key = (measured.case.loss, measured.case.device, one.contender)
            kept = found.setdefault(key, {"speeds": [], "won": [], "wrong": [], "rivals": []})
            if one.wrong:
                kept["wrong"].append(1)
                continue
            speed = 1.0 if one.contender == BASE else one.ratio.estimate if one.ratio else math.nan
            if statistics.positive([speed]):
                kept["speeds"].append(speed)
                if first.state in ("winner", "unclear"):
                    kept["rivals"].append(1)
            if one.contender == winner:
                kept["won"].append(1)
    timed = {key: len(kept["speeds"]) + len(kept["wrong"]) for key, kept in found.items()}
    ranks = [
        Rank(*key, _mean(kept["speeds"]), min(kept["speeds"]), max(kept["speeds"]),
             len(kept["speeds"]), len(kept["won"]), len(kept["wrong"]),
             2 * timed[key] >= timed.get((*key[:2], BASE), 0), len(kept["rivals"]))
        for key, kept in found.items()
        if kept["speeds"]
    ]  # fmt: skip
    return sorted(ranks, key=_place)


def _place(rank: Rank) -> tuple[object, ...]:
    return rank.loss, rank.device, not rank.ranked, -rank.speed, rank.contender


def _mean(speeds: list[float]) -> float:
    return math.exp(sum(map(math.log, speeds)) / len(speeds))


def _rightness(records: Records) -> list[Rightness]:
    """By contender, and whether it was Triton's interpreter that computed it."""
    found: dict[tuple[str, str, bool], dict] = {}
    for measured, result in records.results():
        if result.metric not in ERRORS or result.contender == REFERENCE:
            continue
        key = (result.contender, measured.case.device, is_interpreted(result))
        kept = found.setdefault(
            key, {"ran": 0, "failed": 0, "not_run": 0, "worst": None, "where": "", "reason": ""}
        )
        if result.status == "not_run":
            kept["not_run"] += 1
            kept["reason"] = kept["reason"] or result.reason
            continue
        if result.metric == ERRORS[0]:
            kept["ran"] += 1
            kept["failed"] += result.status == "worse"
            kept["where"] = kept["where"] or measured.case.id
        elif result.value is not None and result.value > (kept["worst"] or -1.0):
            kept["worst"], kept["where"] = result.value, measured.case.id
    return [
        Rightness(*key, kept["ran"], kept["failed"], kept["not_run"], kept["worst"], kept["where"],
                  kept["reason"])
        for key, kept in found.items()
    ]  # fmt: skip
