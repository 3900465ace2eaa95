"""Compares files of pytest-benchmark: a line for each benchmark, and the exit code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from . import shift
from .loading import NotComparable, load
from .ratios import LEVEL, Rule, Verdict, compare, differences, once_each

FINE, REGRESSION, NOT_COMPARED = 0, 1, 3


def run(
    base: Sequence[Path],
    candidate: Sequence[Path],
    rule: Rule,
    *,
    across_machines: bool,
    report: Callable[[str], None],
) -> int:
    """Compares and reports; 0 no regression, 1 a regression, 3 not compared or not decided."""
    try:
        before, after = [load(path) for path in base], [load(path) for path in candidate]
        once_each([*before, *after])
    except NotComparable as error:
        report(f"not compared: {error}")
        return NOT_COMPARED
    differ = differences([*before, *after])
    if differ:
        report("the machines differ: " + "; ".join(differ))
        if not across_machines:
            report("not compared: times from two machines say nothing about the code; "
                 "--across-machines compares them anyway")  # fmt: skip
            return NOT_COMPARED
        report("so a ratio reflects the machines as well as the code")
    found = compare(before, after, rule)
    for verdict in found.verdicts:
        report(line(verdict))
    if found.shift.count:
        report(shift.sentence(found.shift, "the base", "the candidate"))
    report(summary(found.verdicts, len(before), len(after), found.process_sd))
    return exit_code(found.verdicts)


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """A regression that was found outweighs what was not compared; a new benchmark is neither."""
    states = Counter(verdict.state for verdict in verdicts)
    if states["SLOWER"]:
        return REGRESSION
    if states["FASTER"] + states["EQUIVALENT"] + states["NEW"] < len(verdicts):
        return NOT_COMPARED
    return FINE if states["FASTER"] + states["EQUIVALENT"] else NOT_COMPARED


def line(verdict: Verdict) -> str:
    figures = ""
    if not math.isnan(verdict.ratio):
        figures = f"  {verdict.ratio:.3f} ({verdict.low:.3f} to {verdict.high:.3f})"
    return f"{verdict.state:<12}  {verdict.name}{figures}  {verdict.reason}"


def summary(verdicts: Sequence[Verdict], base: int, candidate: int, process_sd: float) -> str:
    states = Counter(verdict.state for verdict in verdicts)
    said = ", ".join(f"{number} {state.lower()}" for state, number in sorted(states.items()))
    return (
        f"{said}; {base} against {candidate} processes; ratios are the candidate's time over the "
        f"base's, intervals hold jointly at {LEVEL:.0%}, two processes of identical code are "
        f"assumed to differ by {process_sd:.1%} (standard deviation)"
    )
