"""Runs the gate's own rule on log-ratios that are drawn from stored ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.gate.decision import Rule, Sample, Stage, Verdict, judge

from .trials import Legs, Trial


def to_the_stop(
    rule: Rule, stage: Stage, tests: int, values: Iterator[float], pace: float
) -> Sample:
    """Groups one by one, as a process of the gate takes them: until the case is settled, or until
    the stage's seconds are spent at ``pace`` seconds a group."""
    sample, spent = Sample(rule, stage, tests), 0.0
    for value in values:
        sample.add(value)
        spent += pace
        if sample.settled or spent >= rule.stage_s:
            break
    return sample


def verdicts(
    screens: dict[str, Sample], confirmations: dict[str, Sample], tests: int
) -> dict[str, Verdict]:
    """Of each case. What the screen did not flag is not handed to `judge`, which would work out an
    interval for it: its verdict is one line, and Holm counts ``tests`` either way."""
    found: dict[str, Verdict] = {
        case: "EQUIVALENT" if sample.finding == "EQUIVALENT" or sample.within else "INCONCLUSIVE"
        for case, sample in screens.items()
    }
    names = list(confirmations)
    judged = judge([screens[n] for n in names], [confirmations[n] for n in names], tests)
    return found | {name: one.verdict for name, one in zip(names, judged, strict=True)}


def legs_of(trial: Trial, case: str) -> list[Legs]:
    """A case's groups of a trial, by process: of its screen and, if any, of its confirmation."""
    stored = [trial.legs.get((case, stage)) for stage in ("screen", "confirmation")]
    return [legs for legs in stored if legs is not None and legs.groups]


def stream(
    random: np.random.Generator, legs: Legs, lasting: float, swapped: bool
) -> Iterator[float]:
    """Log-ratios of one process, without an end: its groups in random order, then, for whoever
    asks for more than there are, groups drawn from it again, moved so that their mean is
    ``lasting``. ``swapped``: base and candidate of every group change places by a coin."""
    own = legs.log_ratios
    values = random.permutation(own)
    while True:
        if swapped:
            values = values * random.choice((-1.0, 1.0), size=values.size)
        yield from map(float, values)
        values = random.choice(own, size=own.size) - own.mean() + lasting
