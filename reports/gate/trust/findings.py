"""All that a trial's record says, worked out once; and the targets beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ... import units
from ...rows import Rows
from . import cheats as cheating
from . import coverage, false_alarms, others
from .cheats import Cheat
from .coverage import Coverages
from .false_alarms import FalseAlarms
from .others import Halves, Judged
from .power import ALL, Detectable, Power, detectable, power
from .shares import Share, percent
from .trials import Trust

State = Literal["met", "missed", "not measured"]
LIVE, REPLAYS, INTERVALS, CHEATS = 300, 3000, 2000, 12
MOST_ALARMS = 0.001
FOUND = 0.95
# Fewer verdicts, though all were found, would leave a true share of 94% open.
FEWEST_SLOWED = 60
# Load, and the slow-down that is to be found under it.
WANTED = (("quiet", 0.02), ("loaded", 0.03))


@dataclass(frozen=True)
class Findings:
    trust: Trust
    alarms: FalseAlarms
    powers: Rows[Power]
    detectable: list[Detectable]
    coverages: Coverages
    judged: Rows[Judged]
    halves: list[Halves]
    cheats: list[Cheat]

    def power_of(self, load: str, fraction: float) -> Rows[Power]:
        """All cases together first; empty where there was no such trial."""
        return self.powers.where(lambda one: math.isclose(one.fraction, fraction), load=load)


@dataclass(frozen=True)
class Target:
    """``state`` goes by the share as measured; ``open`` says what that leaves open: empty where
    the 95% bound or interval meets the target too."""

    name: str
    asked: str
    measured: str
    state: State
    open: str = ""
    share: Share | None = None


def findings(
    trust: Trust, *, replays: int = REPLAYS, intervals: int = INTERVALS,
    report: Callable[[float, float, str], None] = lambda *_: None,
) -> Findings:  # fmt: skip
    """``replays``: whole-suite verdicts to replay, in each of the two ways; ``intervals``: trials
    of one case to replay for coverage; ``report(share, 1, what)`` is called at each step, with the
    share of the time that it usually begins at."""
    report(0.0, 1, "replaying whole suites")
    alarms = false_alarms.false_alarms(trust, replays)
    report(0.4, 1, "power")
    powers = power(trust)
    report(0.5, 1, "replaying intervals")
    coverages = coverage.coverages(trust, intervals)
    report(0.95, 1, "other rules")
    return Findings(
        trust, alarms, powers, detectable(trust), coverages, others.side_by_side(trust),
        others.halves(trust), cheating.cheats(),
    )  # fmt: skip


def targets(found: Findings) -> list[Target]:
    live, replayed = found.alarms.live, found.alarms.replayed
    return [
        _alarms("False alarms, live", live, LIVE),
        _alarms("False alarms, replayed", replayed, REPLAYS),
        *(_power(found, load, fraction) for load, fraction in WANTED),
        _detectable(found),
        _coverage(found),
        _cheats(found),
    ]


def _alarms(name: str, found: dict, fewest: int) -> Target:
    half = ", half of them loaded" if fewest == LIVE else ""
    asked = f"at most {percent(MOST_ALARMS)} of at least {fewest:,} whole-suite verdicts{half}"
    share = false_alarms.total(found)
    if not share.of:
        return Target(name, asked, "–", "not measured", "no such trial is in the record")
    measured = f"{share.hits} of {share.of:,}: {percent(share.value)}"
    loaded = found["loaded"].slower.of if "loaded" in found else 0
    if share.of < fewest or (fewest == LIVE and 2 * loaded < share.of):
        few = f"only {share.of:,} verdicts, {loaded:,} of them loaded"
        return Target(name, asked, measured, "missed" if share.value > MOST_ALARMS else
                      "not measured", few, share)  # fmt: skip
    state: State = "met" if share.value <= MOST_ALARMS else "missed"
    bound = f"true rate below {percent(share.upper)} with 95% confidence"
    if fewest == REPLAYS:
        bound += ", were the replays independent"
    return Target(name, asked, measured, state, bound if share.upper > MOST_ALARMS else "", share)


def _power(found: Findings, load: str, fraction: float) -> Target:
    name = f"Power, {load}"
    asked = f"a slow-down of {fraction:.0%} found at least {FOUND:.0%} of the time within 30 s"
    rows = found.power_of(load, fraction)
    if not rows:
        return Target(name, asked, "–", "not measured", "no such trial is in the record")
    whole, *each = rows
    assert whole.case == ALL
    worst = min(each, key=lambda row: row.found.value)
    ratios = [row.realised[0] - 1 for row in each]
    notes = [f"put in: {min(ratios):+.2%} to {max(ratios):+.2%} by the estimates of the cases"]
    if worst.found.value < FOUND:
        notes.append(f"least: {short(worst.case)}, {worst.found.hits} of {worst.found.of}")
    if whole.found.low < FOUND:
        notes.append(f"true share above {percent(whole.found.low)}")
    state: State = "met" if whole.found.value >= FOUND else "missed"
    if whole.found.of < FEWEST_SLOWED and whole.found.high >= FOUND:
        state = "not measured"
        notes.insert(0, f"only {whole.found.of} verdicts of cases")
    measured = f"{whole.found.hits} of {whole.found.of}: {percent(whole.found.value)}"
    return Target(name, asked, measured, state, "; ".join(notes), whole.found)


def _detectable(found: Findings) -> Target:
    cases = {one.case for one in found.detectable if math.isfinite(one.median)}
    state: State = "met" if cases == set(found.trust.cases) else "missed"
    return Target("Smallest detectable effect", "printed for every case",
                  f"{len(cases)} of {len(found.trust.cases)} cases", state)  # fmt: skip


def _coverage(found: Findings) -> Target:
    low, high = coverage.TARGET
    name = "Intervals"
    asked = (
        f"{low:.0%} to {high:.0%} of at least {INTERVALS:,} nominal 95% intervals hold the ratio"
    )
    share = coverage.overall(found.coverages.replayed)
    if share.of < INTERVALS:
        few = f"only {share.of:,} intervals"
        return Target(name, asked, percent(share.value), "not measured", few, share)
    state: State = "met" if low <= share.value <= high else "missed"
    notes = [] if low <= share.low and share.high <= high else [
        f"95% interval {percent(share.low)} to {percent(share.high)}"
    ]  # fmt: skip
    kinds = sorted(found.coverages.replayed, key=lambda one: one.covered.value)
    if not low <= kinds[0].covered.value <= kinds[-1].covered.value <= high:
        ends = [f"{percent(one.covered.value)} ({one.load}, {one.fraction:.0%} put in)"
                for one in (kinds[0], kinds[-1])]  # fmt: skip
        notes.append(f"from {ends[0]} to {ends[1]}")
    worlds = units.plural(found.coverages.worlds, "trial")
    measured = f"{percent(share.value)} of {share.of:,}, drawn from {worlds} of a case"
    return Target(name, asked, measured, state, "; ".join(notes), share)


def _cheats(found: Findings) -> Target:
    count = len(found.cheats)
    caught = sum(cheat.outcome == "caught" for cheat in found.cheats)
    return Target("Cheats", f"at least {CHEATS} caught or ruled out by design",
                  f"{caught} caught, {count - caught} ruled out",
                  "met" if count >= CHEATS else "missed")  # fmt: skip


def short(case: str) -> str:
    """Loss and variant of a case's name."""
    return "/".join(case.split("/")[:2])
