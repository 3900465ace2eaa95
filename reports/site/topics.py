"""What one machine says of one loss, section by section: a page puts it beside what others say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..document import Block, Link, Links, Section, Text
from ..sections import sections_of
from ..sections.context import Context
from . import roofline

Rates = Mapping[int, Mapping[str, float]]
NO_DIMENSION = (
    "No two of these cases differ in the dimension alone, so nothing is drawn against it."
)


def of_loss(context: Context, loss: str, rates: Rates, records: Mapping[str, str]) -> list[Section]:
    """``records``: by case id where on the site its record lies."""
    part = context.of_loss(loss)
    found = []
    for section in sections_of("loss", part):
        if section.name in ("speed", "memory"):
            section = replace(section, blocks=[*section.blocks, *_dimension(section)])
        found.append(section)
        if section.name == "memory":
            found.append(Section("roofline", "Roofline", _roofline(part, loss, rates)))
    return [*found, Section("records", "Records", _records(part, records))]


def _dimension(section: Section) -> list[Block]:
    drawn = any(isinstance(b, Text) and b.text.endswith("(D)") for b in section.blocks)
    return [] if drawn else [Text(NO_DIMENSION, "note")]


def _roofline(part: Context, loss: str, rates: Rates) -> Sequence[Block]:
    found = roofline.points(part.records.cases, rates)
    if not found:
        return [Text("The cost model counts no operations in any timed case of this loss.")]
    machines = found.each(lambda point: point.measured.machine)
    # Roofs of two machines in one figure would say nothing of either.
    known = rates.get(machines[0], {}) if len(machines) == 1 else {}
    return [roofline.figure(loss, found, known, part.styles)]


def _records(part: Context, records: Mapping[str, str]) -> Sequence[Block]:
    pages = list(dict.fromkeys(
        records[m.case.id].partition("#")[0] for m in part.records.cases if m.case.id in records
    ))  # fmt: skip
    links = tuple(Link(f"page {number}", page) for number, page in enumerate(pages, start=1))
    text = "Every result with all its raw rounds and the command that measures it again:"
    return [Links(links, text)] if links else [Text("Nothing of this loss was measured.")]
