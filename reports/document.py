"""What a page is made of. Sections are written once, as data; pages and Markdown both draw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Tone = Literal["", "good", "bad", "quiet", "strong"]


@dataclass(frozen=True)
class Cell:
    """``link`` is an anchor inside the page, ``href`` an address outside it; ``record`` is the id
    of the case whose record the figure rests on. ``code`` sets it as typed text; ``mark`` is the
    name of a contender whose colour and marker stand in front; ``sort`` is the figure that a column
    is sorted by where the text does not begin with it (`sorting.key`)."""

    text: str
    tone: Tone = ""
    link: str = ""
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
    """An address relative to the page, and what is there."""

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

    ``cases`` and ``metrics`` say which results it was drawn from; ``files`` lie beside it, to be
    downloaded, the SVG last. Where ``svg`` is empty the page shows that file.
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
    files: tuple[Link, ...] = ()


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


Block = Table | Figure | Text | Equation | Details | Links


@dataclass(frozen=True)
class Section:
    """``name`` is the id that the page's contents lead to, its own on the page."""

    name: str
    title: str
    blocks: Sequence[Block]


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
    lead: str
    facts: Sequence[Fact]
    notices: Sequence[Text]
    sections: Sequence[Section] = field(default_factory=tuple)
    footer: str = ""

    def figures(self) -> list[Figure]:
        return [b for s in self.sections for b in _walk(s.blocks) if isinstance(b, Figure)]


def _walk(blocks: Sequence[Block]) -> list[Block]:
    flat: list[Block] = []
    for block in blocks:
        flat.append(block)
        if isinstance(block, Details):
            flat += _walk(block.blocks)
    return flat


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


def mapped(blocks: Sequence[Block], change: Callable[[Block], Block]) -> list[Block]:
    """Every block changed, also those inside others; a figure's own table too."""
    made: list[Block] = []
    for block in blocks:
        if isinstance(block, Details):
            block = replace(block, blocks=mapped(block.blocks, change))
        elif isinstance(block, Figure):
            data = change(block.data)
            assert isinstance(data, Table)
            block = replace(block, data=data)
        made.append(change(block))
    return made


def changed(sections: Sequence[Section], change: Callable[[Block], Block]) -> list[Section]:
    """Every block of every section changed."""
    return [replace(section, blocks=mapped(section.blocks, change)) for section in sections]
