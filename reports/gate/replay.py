"""The verdicts again, from the record's own groups: a verdict that does not follow was edited.

Verdict and ratio are compared, which is what anybody would change; not every figure beside them.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import fields

from benchmarks.gate.decision import Judgement, Rule, Sample, judge
from benchmarks.gate.interval import log_ratio
from benchmarks.gate.records import GateGroup, GateVerdict
from benchmarks.records.loading import RecordError

from .reading import GateRun

# These follow from the groups; the others come from the processes that took them.
_DECIDED = ("SLOWER", "FASTER", "EQUIVALENT", "INCONCLUSIVE")
_ROUNDING = 1e-9


def check(run: GateRun) -> None:
    """Raises RecordError where a verdict or its ratio is not what its groups give.

    WRONG and NOT MEASURED rest on more than groups and are taken as they are; neither is a pass.
    Raises RecordError too where nothing can be worked out from what there is.
    """
    try:
        _check(run)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise RecordError(
            f"gate: {run.path}: its verdicts can't be worked out again: {error}: it was changed by "
            "hand; run the gate again: make gate"
        ) from None


def _check(run: GateRun) -> None:
    rule = _rule(run)
    rows = [row for row in run.verdicts if row.verdict in _DECIDED]
    screens = [_sample(run, row, "screen", rule) for row in rows]
    again = [_sample(run, row, "confirmation", rule) for row in rows]
    for row, screen in zip(rows, screens, strict=True):
        if screen is None:
            raise _edited(run, row, "there are no groups of it")
    judged = judge([s for s in screens if s], again, len(run.start.cases))
    for row, found in zip(rows, judged, strict=True):
        if found.verdict != row.verdict:
            raise _edited(run, row, f"its groups give {found.verdict}")
        if not _same_ratio(row, found):
            raise _edited(run, row, f"its groups give a ratio of {_ratio(found):.4f}")


def _rule(run: GateRun) -> Rule:
    known = {field.name for field in fields(Rule)}
    if set(run.start.rule) != known:
        raise RecordError(f"gate: {run.path}: rule: expected {', '.join(sorted(known))}; got "
                          f"{', '.join(sorted(run.start.rule)) or 'nothing'}")  # fmt: skip
    return Rule(**run.start.rule)


def _sample(run: GateRun, row: GateVerdict, stage: str, rule: Rule) -> Sample | None:
    groups = run.groups.get((row.case, stage), ())
    if not groups:
        return None
    sample = Sample(rule, stage, len(run.start.cases))  # type: ignore[arg-type]
    for group in groups:
        sample.add(value(group))
    return sample


def value(group: GateGroup) -> float:
    """A group's log-ratio: the median over its blocks."""
    return statistics.median(map(log_ratio, group.base, group.candidate))


def _same_ratio(row: GateVerdict, found: Judgement) -> bool:
    return row.ratio is not None and math.isclose(row.ratio, _ratio(found), rel_tol=_ROUNDING)


def _ratio(found: Judgement) -> float:
    return found.ratio.estimate if found.ratio else math.nan


def _edited(run: GateRun, row: GateVerdict, why: str) -> RecordError:
    return RecordError(
        f"gate: {run.path}: {row.case}: expected the verdict that its groups give; got "
        f"{row.verdict}, but {why}: it was changed by hand; run the gate again: make gate"
    )
