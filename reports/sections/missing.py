"""8. What was not run, and why: a result like any other, grouped by reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..document import Block, Cell, Details, Section, Text, table
from ..rows import Rows
from .context import Context, mark
from .place import Place


@dataclass(frozen=True)
class Missing:
    what: str
    contender: str
    metric: str
    reason: str


def gather(context: Context) -> Iterator[Missing]:
    for measured, result in context.records.results.where(status="not_run"):
        narrowed = " ".join((result.metric, *result.of.values()))
        what = context.label(measured)
        yield Missing(what, result.contender, narrowed, result.reason or "no reason given")
    for training in context.records.trainings.where(status="not_run"):
        what = f"training {training.loss}/{training.variant} on {training.dataset}"
        reason = training.reason or "no reason given"
        yield Missing(what, training.contender, "training", reason)


def section(context: Context) -> Section:
    # Reasons that differ in their figures alone belong together.
    groups = Rows(gather(context)).by(lambda one: re.sub(r"\d[\d.,]*", "#", one.reason))
    blocks: list[Block] = []
    if not groups:
        blocks.append(Text("Everything that was planned for the measured cases was run."))
    else:
        ordered = sorted(groups.values(), key=len, reverse=True)
        blocks.append(_summary(ordered))
        blocks += [_list(group) for group in ordered]
    left = context.records.missing
    if left:
        rows = [(Cell(name, code=True),) for name in left]
        summary = f"Planned and not reached ({len(left)})"
        blocks.append(Details(summary, [table(("case",), rows)]))
    return Section("missing", "What was not run, and why", blocks)


def _summary(groups: list[Rows[Missing]]) -> Block:
    rows = []
    for group in groups:
        contenders = ", ".join(sorted(group.each("contender")))
        cases = len(group.each("what"))
        rows.append((_reason(group), contenders, f"{cases:,}", f"{len(group):,}"))
    columns = ("reason", "contenders", "cases", "results")
    return table(columns, rows, numeric=("cases", "results"))


def _reason(group: Rows[Missing]) -> str:
    reasons = group.each("reason")
    more = f" (and {len(reasons) - 1} similar)" if len(reasons) > 1 else ""
    return reasons[0] + more


def _list(group: Rows[Missing]) -> Details:
    """One row a case and contender, its metrics together."""
    rows = [
        (what, mark(contender), _metrics([one.metric for one in found]), reason)
        for (what, contender, reason), found in group.by("what", "contender", "reason").items()
    ]
    made = table(("case", "contender", "metrics", "reason"), rows)
    return Details(f"{_reason(group)}: {len(group):,} results", [made])


def _metrics(metrics: list[str]) -> str:
    if len(metrics) <= 4:
        return ", ".join(metrics)
    return f"{', '.join(metrics[:3])} and {len(metrics) - 3} more"


PLACES = (Place(90, section, "loss"),)
