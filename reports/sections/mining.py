"""5. Mining rules: how long the selection takes, and whether it selects the same."""

from __future__ import annotations

from benchmarks.records.loading import Result

from .. import units
from ..document import Block, Cell, Section, Table, Text, Tone, table
from ..reading import Measured, is_interpreted
from .context import Context
from .place import Place
from .speeds import speeds, timed

METRICS = ("index_mismatches", "index_regret")
TITLE = "Mining rules"
_INTRO = (
    "The selection alone, timed separately from the loss that uses it. Indices are compared with "
    "the reference's. Where some differ, the regret is the distance that the other choice loses, "
    "relative to the right one; near 0 it was a tie that rounding decided."
)


def section(context: Context) -> Section:
    cases = [measured for measured in context.records.cases if measured.of_metric(*METRICS)]
    if not cases:
        return Section(
            "mining", TITLE, [Text("No mining rule was measured in this run.")], empty=True
        )
    blocks: list[Block] = [Text(_INTRO), _indices(context, cases)]
    selected = [measured for measured in cases if timed(measured)]
    if selected:
        blocks.append(speeds(context, selected, "Time of the selection"))
    else:
        blocks.append(Text("No mining rule was timed in this run."))
    return Section("mining", TITLE, blocks)


def _indices(context: Context, cases: list[Measured]) -> Table:
    """A row a rule and dtype, a column a contender."""
    found: dict[tuple[str, str], dict[str, list[list[Result]]]] = {}
    for measured in cases:
        case = measured.case
        by_name = found.setdefault((f"{case.loss}/{case.variant}", case.dtype), {})
        for name in measured.contenders():
            results = measured.of_metric(*METRICS, contender=name)
            if results:
                by_name.setdefault(name, []).append(results)
    names = [n for n in context.styles.order if any(n in by_name for by_name in found.values())]
    rows = [
        (*key, *(_verdict(by_name.get(name, [])) for name in names))
        for key, by_name in found.items()
    ]
    caption = "Indices that are the reference's, by case"
    return table(("rule", "dtype", *names), rows, caption)


def _verdict(by_case: list[list[Result]]) -> Cell:
    """Over the cases of a rule: how many were measured, and the worst of them."""
    ran = [[r for r in results if r.status != "not_run"] for results in by_case]
    ran = [results for results in ran if results]
    if not ran:
        reason = f"not run: {by_case[0][0].reason}" if by_case else units.NOTHING
        return Cell(reason, tone="quiet")
    failed = sum(any(r.status == "worse" for r in results) for results in ran)
    differing = [
        results
        for results in ran
        if any(r.metric == METRICS[0] and (r.value or 0) > 0 for r in results)
    ]
    tone: Tone = "bad" if failed else "good"
    if failed:
        text = f"✗ wrong in {failed} of {len(ran)}"
    elif differing:
        regret = max((r.value or 0 for rs in differing for r in rs if r.metric == METRICS[1]),
                     default=None)  # fmt: skip
        text = f"✓ right, ties differ in {len(differing)} of {len(ran)}"
        text += f" (regret at most {units.digits3(regret)})" if regret is not None else ""
    else:
        text = f"✓ equal in all {len(ran)}"
    if any(is_interpreted(r) for results in ran for r in results):
        text += " (interpreter)"
    return Cell(text, tone=tone)


PLACES = (Place(60, section, "loss"),)
