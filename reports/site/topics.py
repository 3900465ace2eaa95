"""What one machine says of one loss, topic by topic: blocks that a page puts beside those of other
machines. Sections are the run report's own, over the loss's cases alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .. import theme
from ..document import Block, Cell, Details, Figure, Link, Links, Section, Table, Text, mapped
from ..sections import agreement, answer, mining, missing, real, scaling
from . import roofline
from .context import SiteContext

Rates = Mapping[int, Mapping[str, float]]
TOPICS = {
    "which": "Which to use",
    "speed": "Speed",
    "memory": "Memory",
    "roofline": "Roofline",
    "agreement": "Agreement",
    "missing": "What was not run, and why",
    "records": "Records",
}
NO_DIMENSION = (
    "No two of these cases differ in the dimension alone, so nothing is drawn against it."
)


def of_loss(
    context: SiteContext, loss: str, rates: Rates, records: Mapping[str, str]
) -> dict[str, list[Block]]:
    """By topic. ``records``: by case id where on the site its record lies."""
    part = context.of_loss(loss)
    speed, memory = scaling.speed(part), scaling.memory(part)
    found = {
        "which": [*answer.section(part).blocks, *_more(part)],
        "speed": [*speed.blocks, *_dimension(speed)],
        "memory": [*memory.blocks, *_dimension(memory)],
        "roofline": _roofline(part, loss, rates),
        "agreement": list(agreement.section(part).blocks),
        "missing": list(missing.section(part).blocks),
        "records": _records(part, records),
    }
    return {topic: resolved(blocks, part, records) for topic, blocks in found.items()}


def _more(part: SiteContext) -> list[Block]:
    """Mining rules and real embeddings, where the loss has them."""
    found: list[Block] = []
    cases = part.records.cases
    if any(m.of_metric(*mining.METRICS) for m in cases):
        found += [Text(mining.TITLE, "heading"), *mining.section(part).blocks]
    if any(m.case.suite == "real" for m in cases):
        found += [Text(real.TITLE, "heading"), *real.section(part).blocks]
    return found


def _dimension(section: Section) -> list[Block]:
    drawn = any(isinstance(b, Text) and b.text.endswith("(D)") for b in section.blocks)
    return [] if drawn else [Text(NO_DIMENSION, "note")]


def _roofline(part: SiteContext, loss: str, rates: Rates) -> list[Block]:
    found = roofline.points(part.records.cases, rates)
    if not found:
        return [Text("The cost model counts no operations in any timed case of this loss.")]
    machines = {point.measured.machine for point in found}
    # Roofs of two machines in one figure would say nothing of either.
    known = rates.get(machines.pop(), {}) if len(machines) == 1 else {}
    return [roofline.figure(loss, found, known, part.styles)]


def _records(part: SiteContext, records: Mapping[str, str]) -> list[Block]:
    pages = list(dict.fromkeys(
        records[m.case.id].partition("#")[0] for m in part.records.cases if m.case.id in records
    ))  # fmt: skip
    links = tuple(Link(f"page {number}", page) for number, page in enumerate(pages, start=1))
    text = "Every result with all its raw rounds and the command that measures it again:"
    return [Links(links, text)] if links else [Text("Nothing of this loss was measured.")]


def resolved(
    blocks: Sequence[Block], context: SiteContext, records: Mapping[str, str]
) -> list[Block]:
    """Cells that speak of a case lead to its record, wherever it lies."""
    anchors = {f"case-{number}": name for name, number in context.numbers.items()}

    def change(block: Block) -> Block:
        if not isinstance(block, Table):
            return block
        return replace(block, rows=tuple(tuple(map(cell, row)) for row in block.rows))

    def cell(one: Cell) -> Cell:
        case = one.record or anchors.get(one.link, "")
        at = records.get(case, "")
        if at:
            return replace(one, href=at, link="", record="")
        return replace(one, link="", record="") if case else one

    return mapped(blocks, change)


def placed(blocks: Sequence[Block], prefix: str) -> list[Block]:
    """Fit to stand under a machine's heading, beside the same of another: headings a step lower,
    every id and what leads to it with the machine's prefix, and so the figures."""

    def change(block: Block) -> Block:
        if isinstance(block, Text):
            if block.anchor:
                block = replace(block, anchor=f"{prefix}-{block.anchor}")
            return replace(block, kind="label") if block.kind == "heading" else block
        if isinstance(block, Table):
            rows = tuple(tuple(map(cell, row)) for row in block.rows)
            anchors = tuple(f"{prefix}-{one}" if one else "" for one in block.anchors)
            return replace(block, rows=rows, anchors=anchors)
        if isinstance(block, Figure):
            return theme.renamed(block, prefix)
        return block

    def cell(one: Cell) -> Cell:
        return replace(one, link=f"{prefix}-{one.link}") if one.link else one

    return mapped(blocks, change)


def figures(blocks: Sequence[Block]) -> int:
    """How many bytes the figures take."""
    total = 0
    for block in blocks:
        if isinstance(block, Figure):
            total += len(block.svg)
        elif isinstance(block, Details):
            total += figures(block.blocks)
    return total
