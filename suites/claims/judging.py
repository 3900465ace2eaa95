"""What the claims share: arms, what several seeds say of them, and how parts make a verdict.

A training that is missing, failed, diverged or alone in its arm raises `Unusable`, which
`inconclusive` turns into the verdict of that name: an arm of which some seeds fail says nothing by
those that did not.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from suites.interval import Interval
from suites.quality.intervals import interval, paired
from suites.schema import TRAINING_WORDS

from ..schema import TrainingResult
from .claim import Estimate, Line, Outcome, Part, Verdict

LEARNT = 0.5
# Of the p-values that a criterion asks for, by Holm.
LEVEL = 0.05


Points = Sequence[tuple[float, str]]


class Unusable(Exception):
    """Why an arm can't be judged; its text is the verdict's reason."""


class Finding(NamedTuple):
    """What one part of a criterion came to; ``reason`` is a clause, without capital or stop."""

    outcome: Outcome
    reason: str
    estimates: tuple[Estimate, ...] = ()


class Arms:
    """The trainings of one claim by arm; values are by seed."""

    def __init__(self, trainings: Sequence[TrainingResult]) -> None:
        self._arms: dict[str, list[TrainingResult]] = {}
        for training in trainings:
            self._arms.setdefault(training.arm, []).append(training)

    def __contains__(self, arm: str) -> bool:
        return arm in self._arms

    @property
    def datasets(self) -> set[str]:
        """Of all trainings, whatever came of them."""
        return {training.dataset for of in self._arms.values() for training in of}

    def of(self, arm: str) -> list[TrainingResult]:
        """The arm's trainings by rising seed; raises Unusable for a missing arm, a failed training
        or a single seed."""
        found = sorted(self._arms.get(arm, []), key=lambda training: training.seed)
        if not found:
            raise Unusable(f"the arm {arm} is missing")
        for training in found:
            if training.status != "ok":
                why = training.reason or TRAINING_WORDS[training.status]
                raise Unusable(f"the arm {arm} failed at seed {training.seed}: {why}")
        if len({training.seed for training in found}) < 2:
            raise Unusable(f"the arm {arm} has a single seed, which gives no spread")
        return found

    def values(self, arm: str, metric: str) -> dict[int, float]:
        """A metric by seed; raises Unusable where a training has no finite one."""
        found = {}
        for training in self.of(arm):
            value = training.metrics.get(metric)
            if value is None or not math.isfinite(value):
                raise Unusable(f"the arm {arm} has no {metric} at seed {training.seed}")
            found[training.seed] = float(value)
        return found

    def difference(self, a: str, b: str, metric: str) -> tuple[Interval, float]:
        """a - b by seed and its p-value; raises Unusable with fewer than two seeds in both."""
        return difference(self.values(a, metric), self.values(b, metric), f"{a} and {b}")

    def drawn(self, arm: str, metric: str) -> Interval | None:
        """For figures: what there is, however little; None for nothing."""
        found = [
            float(value)
            for training in self._arms.get(arm, [])
            if training.status == "ok"
            and (value := training.metrics.get(metric)) is not None
            and math.isfinite(value)
        ]
        return interval(found) if found else None

    def lines(self, metric: str, points: Mapping[str, Points]) -> tuple[Line, ...]:
        """A line for each label, through those of its points (x, arm) whose arm is there."""
        found = (
            line(label, [(x, self.drawn(arm, metric)) for x, arm in of])
            for label, of in points.items()
        )
        return tuple(one for one in found if one is not None)

    def marks(self, metric: str, arms: Mapping[str, str]) -> tuple[Line, ...]:
        """A mark for each label, side by side, where its arm is there."""
        return self.lines(
            metric, {label: [(float(i), arm)] for i, (label, arm) in enumerate(arms.items())}
        )

    def beside(self, label: str, a: str, b: str, metric: str) -> tuple[Estimate, ...]:
        """a - b where both can be used: what stands beside a verdict."""
        with contextlib.suppress(Unusable):
            return (estimate(label, self.difference(a, b, metric)[0]),)
        return ()

    def learnt(self, arm: str) -> bool:
        """Whether every network of it classifies at least half of its own training images. One that
        does not says nothing about what it would be worth once trained."""
        found = [one.metrics.get("train_accuracy") for one in self._arms.get(arm, [])]
        return all(accuracy is None or accuracy >= LEARNT for accuracy in found)

    def first(self, arm: str) -> TrainingResult | None:
        """The arm's training of the lowest seed that went well, for pictures of one network."""
        fine = [training for training in self._arms.get(arm, []) if training.status == "ok"]
        return min(fine, key=lambda training: training.seed, default=None)


def difference(
    a: Mapping[int, float], b: Mapping[int, float], between: str
) -> tuple[Interval, float]:
    """a - b over the seeds in both, and its p-value; Unusable with fewer than two."""
    if len(a.keys() & b.keys()) < 2:
        raise Unusable(f"{between} share fewer than two seeds")
    found = paired(a, b)
    assert found.p_value is not None
    return found.difference, found.p_value


def bounds(found: Interval) -> tuple[float, float]:
    """Both ends; Unusable where there are none."""
    if found.low is None or found.high is None:
        raise Unusable("a single seed gives no spread")
    return found.low, found.high


def larger(found: Interval, matters: float) -> Outcome:
    """Whether an effect is there: reproduced if it is ``matters`` or more and its interval lies
    above zero; not reproduced if the interval excludes ``matters``; else inconclusive."""
    low, high = bounds(found)
    if low > 0 and found.estimate >= matters:
        return "reproduced"
    return "not reproduced" if high < matters else "inconclusive"


def not_worse(found: Interval, band: float) -> Outcome:
    """Whether a difference stays above -``band``: surely, surely not, or unknown."""
    low, high = bounds(found)
    if low > -band:
        return "reproduced"
    return "not reproduced" if high < -band else "inconclusive"


def within(found: Interval, band: float) -> Outcome:
    """Whether a difference is nowhere larger than ``band``, either way."""
    low, high = bounds(found)
    if low > -band and high < band:
        return "reproduced"
    return "not reproduced" if high < -band or low > band else "inconclusive"


def all_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Reproduced if all are; not reproduced if one is not; inconclusive else, and without any."""
    if "not reproduced" in outcomes:
        return "not reproduced"
    return "reproduced" if set(outcomes) == {"reproduced"} else "inconclusive"


def any_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Reproduced if one is; not reproduced if all are not; else inconclusive."""
    if "reproduced" in outcomes:
        return "reproduced"
    return "not reproduced" if set(outcomes) == {"not reproduced"} else "inconclusive"


def significant(outcome: Outcome, p_value: float) -> Outcome:
    """What is reproduced by more than chance; else that is inconclusive."""
    return "inconclusive" if outcome == "reproduced" and p_value > LEVEL else outcome


def attempt(label: str, title: str, find: Callable[[Arms], Finding], arms: Arms) -> Part:
    """The part of that label and title, inconclusive where its arms can't be used."""
    try:
        return Part(label, title, *find(arms))
    except Unusable as why:
        return Part(label, title, "inconclusive", f"inconclusive, as {why}")


def sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."


def joined(parts: Sequence[Part]) -> Verdict:
    """The verdict that needs every part: all of them have their say in the reason."""
    return Verdict(
        all_of([part.outcome for part in parts]),
        sentence("; ".join(part.reason for part in parts)),
        tuple(estimate for part in parts for estimate in part.estimates),
        tuple(replace(part, reason=sentence(part.reason)) for part in parts),
    )


def inconclusive(
    judge: Callable[[Sequence[TrainingResult]], Verdict],
) -> Callable[[Sequence[TrainingResult]], Verdict]:
    """A judge that answers ``inconclusive`` where it would raise Unusable."""

    @functools.wraps(judge)
    def judged(trainings: Sequence[TrainingResult]) -> Verdict:
        try:
            return judge(trainings)
        except Unusable as why:
            return Verdict("inconclusive", f"Inconclusive: {why}.")

    return judged


def estimate(label: str, found: Interval, unit: str = "1") -> Estimate:
    return Estimate(label, found.estimate, found.low, found.high, found.count, unit)


def with_interval(found: Interval, digits: int = 3) -> str:
    """'0.123 (95% 0.1 to 0.14)' in a sentence."""
    if found.low is None or found.high is None:
        return f"{found.estimate:.{digits}f}"
    return f"{found.estimate:.{digits}f} (95% {found.low:.{digits}f} to {found.high:.{digits}f})"


def slopes(over: Sequence[float], by_point: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """For each seed that every point has, the least-squares slope of its values over ``over``:
    a trend along an ordered sweep, one figure a seed."""
    seeds = set.intersection(*(set(values) for values in by_point))
    middle = sum(over) / len(over)
    weight = sum((x - middle) ** 2 for x in over)
    return {
        seed: sum((x - middle) * values[seed] for x, values in zip(over, by_point, strict=True))
        / weight
        for seed in sorted(seeds)
    }


def line(label: str, points: Sequence[tuple[float, Interval | None]]) -> Line | None:
    """A line through the points that are there, with intervals if all of them have one."""
    there = [(x, found) for x, found in points if found is not None]
    if not there:
        return None
    ends = [(f.low, f.high) for _, f in there if f.low is not None and f.high is not None]
    whole = len(ends) == len(there)
    return Line(
        label,
        tuple(x for x, _ in there),
        tuple(found.estimate for _, found in there),
        tuple(low for low, _ in ends) if whole else (),
        tuple(high for _, high in ends) if whole else (),
    )
