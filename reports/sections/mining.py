"""5. Mining rules: how long the selection takes, and whether it selects the same."""

from __future__ import annotations

from .. import units
from ..document import Block, Cell, Section, Table, Text, Tone, table
from ..reading import Row, is_interpreted
from ..rows import Rows
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
    results = context.records.results.where(metric=METRICS)
    if not results:
        return Section(
            "mining", TITLE, [Text("No mining rule was measured in this run.")], empty=True
        )
    blocks: list[Block] = [Text(_INTRO), _indices(context, results)]
    selected = context.records.cases.where(timed, lambda one: one.results.first(metric=METRICS))
    if selected:
        blocks.append(speeds(context, selected, "Time of the selection"))
    else:
        blocks.append(Text("No mining rule was timed in this run."))
    return Section("mining", TITLE, blocks)


def _indices(context: Context, results: Rows[Row]) -> Table:
    """A row a rule and dtype, a column a contender."""
    contenders = results.each("contender")
    names = [name for name in context.styles.order if name in contenders]
    rows = [
        (f"{loss}/{variant}", dtype, *(_verdict(found.where(contender=name)) for name in names))
        for (loss, variant, dtype), found in results.by("loss", "variant", "dtype").items()
    ]
    caption = "Indices that are the reference's, by case"
    return table(("rule", "dtype", *names), rows, caption)


def _verdict(found: Rows[Row]) -> Cell:
    """Over the cases of a rule: how many were measured, and the worst of them."""
    ran = found.but(status="not_run")
    if not ran:
        reason = f"not run: {found[0].reason}" if found else units.NOTHING
        return Cell(reason, tone="quiet")
    cases = len(ran.each("id"))
    failed = len(ran.where(status="worse").each("id"))
    differing = ran.where(lambda row: (row.value or 0) > 0, metric=METRICS[0]).each("id")
    tone: Tone = "bad" if failed else "good"
    if failed:
        text = f"✗ wrong in {failed} of {cases}"
    elif differing:
        regrets = ran.where(id=tuple(differing), metric=METRICS[1])
        regret = max((row.value or 0 for row in regrets), default=None)
        text = f"✓ right, ties differ in {len(differing)} of {cases}"
        text += f" (regret at most {units.digits3(regret)})" if regret is not None else ""
    else:
        text = f"✓ equal in all {cases}"
    if any(is_interpreted(row.result) for row in ran):
        text += " (interpreter)"
    return Cell(text, tone=tone)


PLACES = (Place(60, section, "loss"),)
