"""Whether the nominal 95% intervals of the ratio hold the true ratio 95 times of 100.

**Live**, the interval is worked out from the groups of the last stage, as the gate does it. Of
unchanged code the truth is 1: two copies that lie in different places of memory count as a miss
where that makes a lasting difference. Of slowed code it is the estimate over all trials of a case,
fraction and load; how much extra work is put in is measured anew in each trial, so the true ratio
itself differs a little from trial to trial, and that is counted as misses too.

**Replayed**, a trial's own groups of one case, of both stages, are moved as a whole so that their
estimate is that over all trials of the case, fraction and load: this is the world, and that the
truth, exactly. So what is conditioned on is the scatter of a trial and the slow-down as it came
out on the whole. Left where it is, a world would have a truth that the trial's own stop has had a
hand in, and cover better than the gate does. From the world a screen and, where it flags the case,
a confirmation are drawn with replacement and put through the gate's own rule, to its own stop. What
is looked at is the interval that the gate would print: a rule that stops when it likes what it
sees makes intervals miss more often, and this counts it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.gate.interval import middle, ratio

from ...rows import Rows
from . import replay
from .power import log_ratios
from .replay import legs_of
from .shares import Share
from .spreads import spread
from .trials import Trial, Trust

SEED = 20_261
# A world of fewer groups is too coarse: its resamples repeat few values.
FEWEST = 16
TARGET = (0.93, 0.97)


@dataclass(frozen=True)
class Coverage:
    """Of intervals under one load with one fraction put in. ``above``: misses with the whole
    interval above the truth; ``width``: the median width (log-ratio). ``between``: how far the true
    log-ratio itself differs from process to process (standard deviation, mean over cases)."""

    load: str
    fraction: float
    covered: Share
    above: int
    width: float
    between: float = 0.0


@dataclass(frozen=True)
class Coverages:
    """``worlds``: trials of one case that the replayed ones are drawn from."""

    live: tuple[Coverage, ...]
    replayed: tuple[Coverage, ...]
    worlds: int


def coverages(trust: Trust, replays: int = 2000) -> Coverages:
    """``replays`` trials of one case in all, spread over the slowed trials alike."""
    live = [_live(trust, load, fraction)
            for load in trust.loads for fraction in (0.0, *trust.fractions(load))
            if trust.of(load, fraction)]  # fmt: skip
    worlds = {
        (load, fraction): [(trial, case) for trial in trust.of(load, fraction)
                           for case in trust.cases if log_ratios(trial, case).size >= FEWEST]
        for load in trust.loads for fraction in trust.fractions(load)
    }  # fmt: skip
    replayed = tuple(_replayed(trust, worlds, replays))
    return Coverages(tuple(live), replayed, sum(map(len, worlds.values())))


def overall(found: tuple[Coverage, ...]) -> Share:
    return sum((one.covered for one in found), Share(0, 0))


def _centre(trials: Rows[Trial], case: str) -> float:
    """The log-ratio that all groups of all these trials together give."""
    return middle(np.concatenate([log_ratios(trial, case) for trial in trials]))


def _live(trust: Trust, load: str, fraction: float) -> Coverage:
    trials, seen = trust.of(load, fraction), []
    for case in trust.cases:
        truth = _centre(trials, case) if fraction else 0.0
        for trial in trials:
            legs = legs_of(trial, case)
            found = ratio(list(map(float, legs[-1].log_ratios))) if legs else None
            if found and found.low and found.high and math.isfinite(truth):
                seen.append((math.log(found.low), math.log(found.high), truth))
    between = [spread(trust, case, load, fraction).between for case in trust.cases]
    return replace(_counted(load, fraction, seen), between=float(np.mean(between)))


def _counted(load: str, fraction: float, seen: list[tuple[float, float, float]]) -> Coverage:
    hits = sum(low <= truth <= high for low, high, truth in seen)
    above = sum(low > truth for low, _, truth in seen)
    width = float(np.median([high - low for low, high, _ in seen])) if seen else math.nan
    return Coverage(load, fraction, Share(hits, len(seen)), above, width)


def _replayed(
    trust: Trust, worlds: dict[tuple[str, float], list[tuple[Trial, str]]], replays: int
) -> Iterator[Coverage]:
    count = sum(map(len, worlds.values()))
    if not count:
        return
    each = math.ceil(replays / count)
    random = np.random.default_rng(SEED)
    for (load, fraction), found in worlds.items():
        truths = {case: _centre(trust.of(load, fraction), case) for case in trust.cases}
        drawn = [
            _draw(trust, random, trial, case, truths[case])
            for trial, case in found
            for _ in range(each)
        ]
        seen = [one for one in drawn if one is not None]
        if seen:
            yield _counted(load, fraction, seen)


def _draw(
    trust: Trust, random: np.random.Generator, trial: Trial, case: str, truth: float
) -> tuple[float, float, float] | None:
    """Ends of an interval and the truth of the world that it was drawn from; None where the
    gate would print no interval."""
    stored, world = legs_of(trial, case), log_ratios(trial, case)
    world = world - middle(world) + truth
    tests, rule = len(trust.cases), trust.rule

    def values() -> Iterator[float]:
        while True:
            yield from map(float, random.choice(world, size=world.size))

    sample = replay.to_the_stop(rule, "screen", tests, values(), stored[0].pace)
    if sample.flagged:
        sample = replay.to_the_stop(rule, "confirmation", tests, values(), stored[-1].pace)
    ratio = sample.ratio()
    if ratio.low is None or ratio.high is None:  # the stage's seconds went for fewer than eight
        return None
    return math.log(ratio.low), math.log(ratio.high), truth
