"""What the papers report, on their own data: for reference, never for comparison."""

from __future__ import annotations

from suites.published import tables

from ..document import Block, Cell, Section, Text, table
from ..sections.place import Place
from .judging import Context

TITLE = "Published, other data"
MARK = "published, other data"


# What is not the papers' own word says so where it is read, not only below.
_SECOND_HAND = {"V2": "; second-hand", "FIG": "; read off a plot"}


def section(context: Context) -> Section:
    found = tables()
    blocks: list[Block] = [Text(
        "The papers' own tables, on their own data (CASIA-WebFace, LFW and others). Networks here "
        "were trained on other data, so none of these figures can be compared with ours.", "note",
    )]  # fmt: skip
    for one in found:
        rows = [[Cell(str(value)) for value in row] for row in one.rows]
        caption = f"{one.title} ({MARK}{_SECOND_HAND.get(one.status.partition(':')[0], '')})"
        source = f"Source: {one.source}. Status: {one.status or MARK}."
        blocks += [table([str(c) for c in one.columns], rows, caption), Text(source, "note")]
    if not found:
        blocks.append(Text("There are none."))
    return Section("published", TITLE, blocks)


PLACES = (Place(50, section),)
