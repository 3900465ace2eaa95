"""Two contenders inside one run: round k of both was taken back to back, so each case has its own
paired ratio and no process stands between them."""

from __future__ import annotations

import math

from suites.interval import Interval

from .. import statistics
from ..reading import Measured as MeasuredCase
from ..reading import Records
from .exact import Difference, state
from .loading import too_few
from .ratios import Rule, State, Verdict
from .runs import ONCE, Key, Run


def timed(records: Records, base: str, candidate: str, rule: Rule) -> list[tuple[Key, Verdict]]:
    """A verdict for every timed figure that either has; intervals are 95% each."""
    found = []
    for case in records.cases:
        metrics = dict.fromkeys(
            result.metric
            for result in case.results
            if result.contender in (base, candidate) and result.rounds and result.metric not in ONCE
        )
        for metric in metrics:
            key = Key(case.case.id, candidate, metric)
            found.append((key, _verdict(key.name, case, metric, base, candidate, rule)))
    return found


def _verdict(
    name: str, case: MeasuredCase, metric: str, base: str, candidate: str, rule: Rule
) -> Verdict:
    for contender in (base, candidate):
        if case.is_wrong(contender):
            return Verdict(name, "INVALID", f"{contender} disagreed with the reference here")
    figures = [case.figure(contender, metric) for contender in (base, candidate)]
    for contender, figure in zip((base, candidate), figures, strict=True):
        if figure is None:
            missed = case.results.first(metric=metric, contender=contender)
            reason = missed.reason if missed else "it has no such case"
            missing: State = "NEW" if contender == base else "VANISHED"
            return Verdict(name, missing, f"{contender} was not timed: {reason}")
    assert figures[0] is not None and figures[1] is not None
    found = statistics.ratio_interval(figures[1].rounds, figures[0].rounds)
    if found is None:
        return Verdict(name, "INVALID", "expected times in seconds above 0; got other values")
    if found.low is None or found.high is None:
        few = too_few(found.count)
        return Verdict(name, "INCONCLUSIVE", f"{few.problem} of both")
    most = math.log1p(rule.smallest_effect)
    if -most < math.log(found.low) and math.log(found.high) < most:
        return _of(name, "EQUIVALENT", f"within {rule.smallest_effect:.1%} either way", found)
    if found.low > 1:
        return _of(name, "SLOWER", f"{candidate} takes longer than {base}", found)
    if found.high < 1:
        return _of(name, "FASTER", f"{candidate} takes less time than {base}", found)
    return _of(name, "INCONCLUSIVE", "the interval contains 1", found)


def _of(name: str, state: State, reason: str, found: Interval) -> Verdict:
    assert found.low is not None and found.high is not None
    return Verdict(name, state, reason, found.estimate, found.low, found.high)


def exact(run: Run, base: str, candidate: str) -> list[Difference]:
    """Bytes, counts and errors of one against the other's, where both have them."""
    found = []
    for key, after in run.exact.items():
        if key.contender != candidate:
            continue
        before = run.exact.get(Key(key.case, base, key.metric, key.of))
        if before is not None:
            moved = state(key, before.value, after.value)
            found.append(Difference(key, moved, before.value, after.value))
    return found
