"""Makes any table sortable and filterable: each figure gets its plain number, and columns that
name something are marked. What the page says does not change, and it needs no script."""

from __future__ import annotations

import re
from dataclasses import replace

from ..document import Cell, Table

_UNITS = {
    "ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0,
    "B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "%": 0.01,
}  # fmt: skip
_NUMBER = re.compile(
    r"^(?P<sign>[-+])?(?P<figure>\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)\s*(?P<times>×)?\s*"
    r"(?P<unit>ns|µs|ms|s|B|KiB|MiB|GiB|%)?(?P<slower> slower)?(?=$|[\s(\[;])"
)
# Columns by their heading, and what a choice of them is a choice of.
_FILTERS = {
    "loss": "loss", "contender": "contender", "device": "device", "metric": "metric",
    "variant": "variant", "dtype": "dtype", "machine": "machine", "suite": "suite",
    "fastest": "contender", "pass": "metric", "status": "status", "target": "target",
}  # fmt: skip
FEWEST_ROWS = 3


def number(text: str) -> float | None:
    """The figure that a cell begins with, in its base unit; a slow-down as a share of the speed."""
    found = _NUMBER.match(text.strip())
    if not found:
        return None
    value = float(found["figure"].replace(",", ""))
    if found["slower"] and value:
        value = 1 / value
    return (-value if found["sign"] == "-" else value) * _UNITS.get(found["unit"] or "", 1.0)


def table(made: Table) -> Table:
    if len(made.rows) < FEWEST_ROWS:
        return made
    filters = {place: _FILTERS[name] for place, name in enumerate(made.columns) if name in _FILTERS}
    rows = tuple(tuple(_cell(cell) for cell in row) for row in made.rows)
    return replace(made, rows=rows, filters={**filters, **made.filters})


def _cell(cell: Cell) -> Cell:
    if cell.sort:
        return cell
    value = number(cell.text)
    return cell if value is None else replace(cell, sort=f"{value:.6g}")
