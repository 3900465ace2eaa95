"""A table of speeds relative to eager: a row a case, a column a contender."""

from __future__ import annotations

from collections.abc import Sequence

from .. import units
from ..comparison import answer, compare, main_pass
from ..document import Cell, Table, table
from ..reading import BASE, REFERENCE, Measured
from .answer import winner_cell
from .context import Context, machine_name

DRAWN = "drawn"


def timed(measured: Measured) -> list[str]:
    """Who was timed in the case's main pass."""
    metric = main_pass(measured)
    return [name for name in measured.contenders() if measured.figure(name, metric)]


def speeds(context: Context, cases: Sequence[Measured], caption: str) -> Table:
    rivals = [
        name
        for name in context.styles.order
        if name not in (BASE, REFERENCE) and any(name in timed(one) for one in cases)
    ]
    rows = []
    for measured in cases:
        case, metric = measured.case, main_pass(measured)
        ratios = {one.contender: one.ratio for one in compare(measured, metric)}
        where = [machine_name(measured.machine)] if context.several_machines else []
        rows.append(
            (Cell(f"{case.loss}/{case.variant}{case.own_sizes}", record=measured.case.id),
             Cell(case.data, tone="" if case.data == DRAWN else "strong"),
             f"{case.batch:,}", f"{case.dim:,}", f"{case.classes:,}", case.dtype, *where,
             winner_cell(answer(measured)), units.time(measured.value(BASE, metric)),
             *(units.speed(ratios.get(rival)) for rival in rivals))
        )  # fmt: skip
    machines = ["machine"] if context.several_machines else []
    columns = ("loss", "data", "B", "D", "C", "dtype", *machines, "fastest", "eager takes",
               *rivals)  # fmt: skip
    return table(columns, rows, caption, numeric=("B", "D", "C", "eager takes"))
