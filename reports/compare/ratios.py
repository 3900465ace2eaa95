"""Ratios between processes, with an interval that knows that the process is the unit.

Two processes that run identical code differ by a persistent factor (memory layout, hashing, which
pages they got): over pairs of them the logarithm of the ratio has a standard deviation of 3.1%,
however many rounds each has. Rounds of one process therefore say nothing about it, and an
interval made of rounds alone is far too narrow. Here the variance of a log ratio is

    sd^2 / 2 (1 / n + 1 / m) + mean of each side's squared standard errors / n or m

with n and m processes a side; for one each it is sd^2 and the two errors. 3.1% was measured on
pairs that ran at the same time; files that were made one after another, on a machine that others
load, differ by more, which two files can't tell. Several files a side can: sd is then the larger
of the one given and what the files of one side differ by. The intervals of all
benchmarks hold together with 95% (Bonferroni): a suite of identical code is called slower in at
most one of forty comparisons, however many benchmarks it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from .loading import Measured, NotComparable, Timing

PROCESS_SD = 0.031
SMALLEST_EFFECT = 0.03
LEVEL = 0.95

State = Literal["SLOWER", "FASTER", "EQUIVALENT", "UNDECIDED", "INVALID", "VANISHED", "NEW"]


@dataclass(frozen=True)
class Verdict:
    """One benchmark: ``ratio`` is the candidate's time over the base's, with its interval; nan
    where there is none. ``reason`` says why in a sentence."""

    name: str
    state: State
    reason: str
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Rule:
    """``process_sd`` of the log ratio of one pair; ``smallest_effect`` as a share of the time."""

    process_sd: float = PROCESS_SD
    smallest_effect: float = SMALLEST_EFFECT


def compare(
    base: Sequence[Measured], candidate: Sequence[Measured], rule: Rule
) -> tuple[list[Verdict], float]:
    """A verdict for every benchmark of any file, in the order of the files; and the standard
    deviation between two processes that they rest on."""
    names = list(dict.fromkeys(name for one in (*base, *candidate) for name in one.timings))
    found = {name: _unusable(name, base, candidate) for name in names}
    usable = [name for name in names if found[name] is None]
    tail = (1 - LEVEL) / max(1, len(usable)) / 2
    quantile = NormalDist().inv_cdf(1 - tail)
    rule = replace(rule, process_sd=max(rule.process_sd, spread(usable, base, candidate)))
    verdicts = [
        found[name] or _judge(name, _of(name, base), _of(name, candidate), rule, quantile)
        for name in names
    ]
    return verdicts, rule.process_sd


def spread(names: Sequence[str], *sides: Sequence[Measured]) -> float:
    """Standard deviation of the log ratio of two processes of one side, over all sides and
    benchmarks (``names``); 0.0 where no side has two."""
    logs = [[one.timings[name].log_median for one in side] for side in sides for name in names]
    squares = sum(float(np.square(np.subtract(a, np.mean(a))).sum()) for a in logs)
    freedom = sum(len(a) - 1 for a in logs)
    return math.sqrt(2 * squares / freedom) if freedom else 0.0


def differences(files: Sequence[Measured]) -> list[str]:
    """What of the machines' identity is not the same in all files, in words."""
    first = files[0]
    return [
        f"{name}: {first.identity.get(name)!r} in {first.path}, {other.identity.get(name)!r} "
        f"in {other.path}"
        for other in files[1:]
        for name in first.identity
        if first.identity.get(name) != other.identity.get(name)
    ]


def once_each(files: Sequence[Measured]) -> None:
    """Raises NotComparable where one process stands for two: its own ratio to itself is 1."""
    seen: dict[tuple[tuple[str, Timing], ...], Measured] = {}
    for one in files:
        key = tuple(item for item in one.timings.items() if not item[1].problem)
        if key and key in seen:
            raise NotComparable(
                f"{one.path}: expected another process than that of {seen[key].path}; "
                "got the same figures"
            )
        seen[key] = one


def _of(name: str, files: Sequence[Measured]) -> list[Timing]:
    return [one.timings[name] for one in files]


def _unusable(name: str, base: Sequence[Measured], candidate: Sequence[Measured]) -> Verdict | None:
    lacking = [str(one.path) for one in (*base, *candidate) if name not in one.timings]
    if not any(name in one.timings for one in base):
        return Verdict(name, "NEW", "not in the base: nothing to compare it with")
    if lacking:
        return Verdict(name, "VANISHED", f"expected in every file; not in {', '.join(lacking)}")
    for one in (*base, *candidate):
        problem = one.timings[name].problem
        if problem:
            return Verdict(name, "INVALID", f"{one.path}: {problem}")
    options = {timing.options for timing in _of(name, [*base, *candidate])}
    if len(options) > 1:
        told = " and ".join(sorted(str(dict(option)) for option in options))
        return Verdict(name, "INVALID", f"measured in different ways: {told}")
    return None


def _judge(
    name: str, base: Sequence[Timing], candidate: Sequence[Timing], rule: Rule, quantile: float
) -> Verdict:
    middles = [float(np.mean([t.log_median for t in side])) for side in (base, candidate)]
    estimate = middles[1] - middles[0]
    half = quantile * math.sqrt(sum(_variance(side, rule) for side in (base, candidate)))
    low, high = estimate - half, estimate + half
    state, reason = _state(low, high, half, rule, quantile)
    return Verdict(name, state, reason, math.exp(estimate), math.exp(low), math.exp(high))


def _variance(side: Sequence[Timing], rule: Rule) -> float:
    inside = float(np.mean([timing.log_error**2 for timing in side]))
    return (rule.process_sd**2 / 2 + inside) / len(side)


def _state(low: float, high: float, half: float, rule: Rule, quantile: float) -> tuple[State, str]:
    most = math.log1p(rule.smallest_effect)
    if -most < low and high < most:
        return "EQUIVALENT", f"it differs by less than {rule.smallest_effect:.1%} either way"
    if low > 0:
        return "SLOWER", f"by at least {math.expm1(low):.1%}: the whole interval lies above 1"
    if high < 0:
        return "FASTER", f"by at least {-math.expm1(high):.1%}: the whole interval lies below 1"
    # Of the process-to-process part alone, at an interval half as wide as what matters.
    files = max(2, math.ceil((2 * quantile * rule.process_sd / most) ** 2))
    return "UNDECIDED", (
        f"the interval holds 1 and goes beyond {rule.smallest_effect:.1%}, at ±{half:.1%}; "
        f"about {files} processes a side would decide it"
    )
