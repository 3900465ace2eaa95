"""Who is faster in a case, by how much, and when it is not clear.

Everything is compared inside one case of one session, round by round, never across machines.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from suites.interval import Interval

from . import statistics, units
from .reading import BASE, PASSES, REFERENCE, Measured


@dataclass(frozen=True)
class Comparison:
    """How one contender does in one pass of a case. ``ratio`` is eager's time over its own: above
    1 is faster; None where either was not timed. ``case``: the id of the case."""

    contender: str
    time: Interval
    ratio: Interval | None
    wrong: bool
    case: str = ""


@dataclass(frozen=True)
class Answer:
    """The outcome of a case in one pass.

    ``state``: ``winner`` (one contender ahead of each other one, every interval apart from 1),
    ``unclear`` (``leaders`` are those that do not differ significantly; ``scarce`` those that share
    too few rounds with the first for an interval, however far behind), ``alone`` (only one was
    timed) or ``nothing``. ``margin`` is the first's speed over eager, or eager's over the next
    where eager is first. ``against`` names whom the margin is measured against.
    """

    state: str
    metric: str
    leaders: tuple[str, ...] = ()
    margin: Interval | None = None
    against: str = ""
    excluded: tuple[str, ...] = ()
    scarce: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        if self.state == "winner":
            return self.leaders[0]
        if self.state == "alone":
            return f"only {self.leaders[0]} was timed"
        if self.state == "unclear":
            return "too few rounds to rank" if self.is_short_of_rounds else "no clear winner"
        return "not timed"

    @property
    def is_short_of_rounds(self) -> bool:
        """Nobody is level with the first: only rounds are missing to say so."""
        return self.state == "unclear" and len(self.leaders) == 1

    @property
    def by(self) -> str:
        """By how much, in words."""
        if self.margin is None:
            return units.NOTHING
        if self.state == "winner":
            return f"{units.speed(self.margin)} than {self.against}"
        text = f"{' or '.join(self.leaders)}: {units.speed(self.margin)} against {self.against}"
        return f"{text}; too few rounds to rank {', '.join(self.scarce)}" if self.scarce else text


@functools.lru_cache(maxsize=4096)
def _ratio(over: tuple[float, ...], under: tuple[float, ...]) -> Interval | None:
    return statistics.ratio_interval(over, under)


def ratio(measured: Measured, metric: str, base: str, contender: str) -> Interval | None:
    """Time of ``base`` over that of ``contender``; above 1 the contender is faster."""
    over, under = measured.figure(base, metric), measured.figure(contender, metric)
    if over is None or under is None:
        return None
    if over.rounds and under.rounds:
        return _ratio(tuple(over.rounds), tuple(under.rounds))
    values = statistics.positive((over.value, under.value))
    return Interval(values[0] / values[1], None, None, 0) if len(values) == 2 else None


def main_pass(measured: Measured) -> str:
    """Forward and backward together where the case has it, else forward (a mining rule)."""
    timed = measured.results.where(metric=PASSES).but(status="not_run").each("metric")
    return next((metric for metric in PASSES if metric in timed), PASSES[0])


def compare(measured: Measured, metric: str) -> list[Comparison]:
    """Each contender that was timed, in the order recorded."""
    rows = []
    for name in measured.contenders():
        time = measured.median(name, metric)
        if time is None:
            continue
        against = ratio(measured, metric, BASE, name) if name != BASE else None
        rows.append(Comparison(name, time, against, measured.is_wrong(name), measured.case.id))
    return rows


def answer(measured: Measured, metric: str | None = None) -> Answer:
    """Who wins. The float64 reference is no candidate, nor is a contender that disagreed with it
    in this case: fast and wrong does not win."""
    metric = metric or main_pass(measured)
    rows = [row for row in compare(measured, metric) if row.contender != REFERENCE]
    wrong = tuple(row.contender for row in rows if row.wrong)
    able = sorted((row for row in rows if not row.wrong), key=lambda row: row.time.estimate)
    if not able:
        return Answer("nothing", metric, excluded=wrong)
    if len(able) == 1:
        return Answer("alone", metric, (able[0].contender,), excluded=wrong)
    first = _fastest(measured, metric, [row.contender for row in able])
    others = [row.contender for row in able if row.contender != first]
    leads = {name: ratio(measured, metric, name, first) for name in others}
    ends = {name: lead.low if lead else None for name, lead in leads.items()}
    close = [name for name, low in ends.items() if low is not None and low <= 1]
    scarce = tuple(name for name, low in ends.items() if low is None)
    against = BASE if BASE in others else others[0]
    state = "unclear" if close or scarce else "winner"
    return Answer(state, metric, (first, *close), leads[against], against, wrong, scarce)


def _fastest(measured: Measured, metric: str, names: list[str]) -> str:
    """Paired against eager, or the first, rather than by medians that drift apart."""
    base = BASE if BASE in names else names[0]

    def speed(name: str) -> float:
        against = ratio(measured, metric, base, name) if name != base else None
        return against.estimate if against else 1.0

    return max(names, key=speed)
