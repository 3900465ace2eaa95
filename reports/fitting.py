"""Keeps each page under 2 MB: what is too much for one lies beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from benchmarks.records import RecordError

from .document import Block, Document, Figure, Link, Table, changed

MOST_BYTES = 2_000_000
# How many rows a table may have, and whether large figures stand in files of their own: the first
# of these under which the page is small enough.
LIMITS = ((1000, False), (400, False), (150, False), (150, True), (60, True), (20, True))
LARGE_FIGURE = 20_000


class TooLarge(RecordError):
    """A page that is beyond the limit however much is left out."""


def fitted(
    document: Document, render: Callable[[Document], str], name: str, whole: str, figures: str = ""
) -> str:
    """The page, with as much of the document in it as there is room for.

    ``name`` is the page's in an error, ``whole`` says where all rows of a shortened table are,
    ``figures`` in which folder beside the page the figures lie that don't say so themselves.
    Raises `TooLarge`.
    """
    size = 0
    for rows, apart in LIMITS:
        cut = functools.partial(_cut, most=rows, apart=apart, whole=whole, figures=figures)
        text = render(replace(document, sections=changed(document.sections, cut)))
        size = len(text.encode())
        if size <= MOST_BYTES:
            return text
    raise TooLarge(f"{name}: expected at most {MOST_BYTES:,} bytes; it takes {size:,}")


def _cut(block: Block, most: int, apart: bool, whole: str, figures: str) -> Block:
    if isinstance(block, Figure) and apart and len(block.svg) > LARGE_FIGURE:
        svg = Link("figure (SVG)", f"{figures}/{block.name}.svg")
        files = block.files or ((svg,) if figures else ())
        return replace(block, svg="", files=files) if files else block
    if isinstance(block, Table) and len(block.rows) > most:
        said = f"the first {most:,} of {len(block.rows):,} rows; {whole}"
        caption = f"{block.caption} ({said})" if block.caption else said.capitalize()
        return replace(block, rows=block.rows[:most], anchors=block.anchors[:most], caption=caption)
    return block
