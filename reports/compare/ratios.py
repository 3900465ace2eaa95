"""Ratios between processes, with an interval that knows that the process is the unit.

Two processes that run identical code differ by a persistent factor (memory layout, hashing, which
pages they got): over pairs of them the logarithm of the ratio has a standard deviation of 3.1% on a
quiet machine, however many rounds each has. Rounds of one process therefore say nothing about it,
and an interval made of rounds alone is far too narrow. Here the variance of a log ratio is

    sd^2 / 2 (1 / n + 1 / m) + mean of each side's squared standard errors / n or m

with n and m processes a side; for one each it is sd^2 and the two errors. sd is the larger of 3.1%
and what is seen: by how far runs of one side differ, or, with one run a side, by how far the
benchmarks' ratios lie around their median (`shift`).

What all benchmarks moved by together can be the machine's. So an interval reaches from what the
ratio is if all of that is the machine's to what it is if none is: it is slower only if it is so
either way, and where everything is slower nothing is decided, unless several runs a side show that
the machine moves less.

The intervals of all benchmarks hold together with 95% (Bonferroni), and what the machine explains
does with 95% too: of comparisons of identical code at most one in twenty finds something slower,
however many benchmarks it has.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from . import shift
from .loading import Measured, NotComparable, Timing

PROCESS_SD = 0.031
SMALLEST_EFFECT = 0.03
LEVEL = 0.95
_MOST_FILES = 200
# What says which machine it was, in either kind of file.
_WHICH = ("cpu", "cpu brand_raw")

State = Literal["SLOWER", "FASTER", "EQUIVALENT", "INCONCLUSIVE", "INVALID", "VANISHED", "NEW"]


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


@dataclass(frozen=True)
class Found:
    """``process_sd``: the standard deviation between two processes that the verdicts rest on."""

    verdicts: list[Verdict]
    process_sd: float
    shift: shift.Shift


def compare(
    base: Sequence[Measured],
    candidate: Sequence[Measured],
    rule: Rule,
    only: Collection[str] | None = None,
) -> Found:
    """A verdict for every benchmark of any file, in the order of the files. ``only``: judges these
    alone; the others still show what the machine did."""
    names = list(dict.fromkeys(name for one in (*base, *candidate) for name in one.timings))
    found = {name: _unusable(name, base, candidate) for name in names}
    usable = [name for name in names if found[name] is None]
    moved = shift.find(usable, base, candidate)
    judged = [name for name in names if only is None or name in only]
    tail = (1 - LEVEL) / max(1, sum(found[name] is None for name in judged)) / 2
    quantile = NormalDist().inv_cdf(1 - tail)
    if moved.spread > rule.process_sd:
        quantile = shift.quantile(tail, moved.freedom)
        rule = replace(rule, process_sd=moved.spread)
    verdicts = [
        found[name]
        or _judge(name, _of(name, base), _of(name, candidate), rule, quantile, moved.machine(name))
        for name in judged
    ]
    return Found(verdicts, rule.process_sd, moved)


def differences(files: Sequence[Measured]) -> list[str]:
    """What of the machines' identity is not the same in all files, in words; so too where no file
    says which machine it was."""
    first = files[0]
    names = dict.fromkeys(name for one in files for name in one.identity)
    found = [
        f"{name}: {first.identity.get(name)!r} in {first.path}, {other.identity.get(name)!r} "
        f"in {other.path}"
        for other in files[1:]
        for name in names
        if first.identity.get(name) != other.identity.get(name)
    ]
    if not any(one.identity.get(name) for one in files for name in _WHICH):
        found.append(
            "cpu: missing from every file, so it is unknown whether the machines are the same"
        )
    return found


def once_each(files: Sequence[Measured]) -> None:
    """Raises NotComparable where one process stands for two: its own ratio to itself is 1."""
    seen: dict[tuple[tuple[str, Timing], ...], Measured] = {}
    for one in files:
        key = tuple(item for item in one.timings.items() if not item[1].problem)
        if key and key in seen:
            raise NotComparable(
                f"{one.path}: expected another process than in {seen[key].path}; got the same "
                "figures"
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
    bad = [one for one in (*base, *candidate) if one.timings[name].problem]
    # What is void comes before what a longer run would decide.
    for one in sorted(bad, key=lambda one: one.timings[name].too_few):
        timing = one.timings[name]
        state: State = "INCONCLUSIVE" if timing.too_few else "INVALID"
        return Verdict(name, state, f"{one.path}: {timing.problem}")
    options = {timing.options for timing in _of(name, [*base, *candidate])}
    if len(options) > 1:
        said = " and ".join(sorted(str(dict(option)) for option in options))
        return Verdict(name, "INVALID", f"measured in different ways: {said}")
    return None


def _judge(
    name: str,
    base: Sequence[Timing],
    candidate: Sequence[Timing],
    rule: Rule,
    quantile: float,
    machine: tuple[float, float],
) -> Verdict:
    """``machine``: the least and the most of the log ratio that can be the machine's."""
    middles = [float(np.mean([t.log_median for t in side])) for side in (base, candidate)]
    estimate = middles[1] - middles[0]
    half = quantile * math.sqrt(sum(_variance(side, rule) for side in (base, candidate)))
    low, high = estimate - machine[1] - half, estimate - machine[0] + half
    state, reason = _state(low, high, half, rule, quantile)
    if state == "INCONCLUSIVE" and abs(estimate) > half:
        way = "slower" if estimate > 0 else "faster"
        reason = f"it is {way}, but so is what was measured beside it: the machine may be the cause"
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
    remedy = (f"about {files} processes a side would settle it" if files <= _MOST_FILES else
              "a quieter machine would settle it")  # fmt: skip
    return "INCONCLUSIVE", (
        f"the interval contains 1 and reaches beyond {rule.smallest_effect:.1%}, at ±{half:.1%}; "
        f"{remedy}"
    )
