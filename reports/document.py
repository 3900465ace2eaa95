"""What a page is made of. Sections are written once, as data; pages and Markdown both draw them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["", "good", "bad", "quiet", "strong"]


@dataclass(frozen=True)
class Cell:
    """``href`` is an address (`Link`); ``record`` the id of the case that the text speaks of, which
    leads to its record. ``code`` sets it as typed text; ``mark`` is the name of a contender whose
    colour and marker stand in front; ``sort`` is the figure that a column is sorted by where the
    text does not begin with it (`sorting.key`)."""

    text: str
    tone: Tone = ""
    code: bool = False
    mark: str = ""
    href: str = ""
    record: str = ""
    sort: str = ""


@dataclass(frozen=True)
class Table:
    """``numeric`` columns are set flush right; ``anchors`` gives rows an id to be linked to."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    numeric: frozenset[int] = frozenset()
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """An address, and what is there: ``#anchor`` on the same page, or a path from the root of the
    pages, which each page writes as seen from its own place."""

    label: str
    href: str


@dataclass(frozen=True)
class Links:
    """A line of links; ``label`` stands in front."""

    items: tuple[Link, ...]
    label: str = ""


@dataclass(frozen=True)
class Figure:
    """``svg`` is one <svg> element whose ids all begin with ``name``; ``alt`` says what it shows
    to whoever can't see it; ``data`` is the table behind it. ``width``: inches as drawn.

    ``cases`` and ``metrics`` say which results it was drawn from; ``quantities`` of which
    quantities, where it is not of all.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    width: float
    data: Table
    cases: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Text:
    """A paragraph, or by ``kind`` a heading inside a section ("heading", and "label" below it),
    typed text ("code"), what to be wary of ("warning"), an aside ("note"), or the sentence that
    answers a section's question ("answer"). ``anchor`` is an id to be linked to."""

    text: str
    kind: Literal["plain", "warning", "note", "code", "heading", "label", "answer"] = "plain"
    anchor: str = ""


@dataclass(frozen=True)
class Equation:
    """``svg`` is empty where the LaTeX could not be drawn; the source is shown then."""

    latex: str
    svg: str


@dataclass(frozen=True)
class Details:
    """Folded away until asked for, but where ``open``."""

    summary: str
    blocks: Sequence[Block]
    open: bool = False


@dataclass(frozen=True)
class Part:
    """Blocks that stand among those of others: of one machine beside another's, or of another page.

    ``name`` begins every id in it, ``page`` is where its own anchors are. ``records`` says where
    the record of each case is; ``figures`` is the folder of its figures' files."""

    blocks: Sequence[Block]
    name: str = ""
    page: str = ""
    records: Mapping[str, str] = field(default_factory=dict)
    figures: str = ""


Block = Table | Figure | Text | Equation | Details | Links | Part


@dataclass(frozen=True)
class Section:
    """``name`` is the id that the page's contents lead to, its own on the page; ``empty``: nothing
    of it was measured, and its blocks say so."""

    name: str
    title: str
    blocks: Sequence[Block]
    empty: bool = False


@dataclass(frozen=True)
class Fact:
    """One of the few figures at the top of the page."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Document:
    """A whole page: ``lead`` is its answer in a few sentences, ``notices`` what to be wary of; both
    stand above the sections."""

    title: str
    subtitle: str
    lead: str = ""
    facts: Sequence[Fact] = ()
    notices: Sequence[Text] = ()
    sections: Sequence[Section] = ()
    footer: str = ""

    def figures(self) -> list[Figure]:
        return [figure for section in self.sections for figure in figures(section.blocks)]


def figures(blocks: Sequence[Block]) -> Iterator[Figure]:
    """Every figure, also those inside other blocks."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Details | Part):
            yield from figures(block.blocks)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    caption: str = "",
    numeric: Sequence[str] = (),
    anchors: Sequence[str] = (),
) -> Table:
    """A table whose rows hold strings and cells; ``numeric`` names columns."""
    return Table(
        columns=tuple(columns),
        rows=tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows),
        caption=caption,
        numeric=frozenset(columns.index(name) for name in numeric),
        anchors=tuple(anchors),
    )
