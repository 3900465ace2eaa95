"""From a document to a page: an HTML file that needs no network, as a report of its own or of a
site.

A report's page needs nothing else, neither beside it nor script: its own small script
(``templates/interactive.js``) sorts and filters tables and picks what figures show. A content
security policy allows that script and no other, and no request to anywhere. Pages of a site share
script and style in assets/, and have the files of each figure beside them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import jinja2
from markupsafe import Markup

from . import document as model
from . import fitting, sorting, theme
from .document import Document, Link
from .style import Styles, plain

TEMPLATES = Path(__file__).resolve().parent / "templates"
STYLE, SCRIPT = "assets/style.css", "assets/interactive.js"
# Columns that people narrow a table down by, where it has a few values and many rows.
_FILTERS = frozenset({
    "arm", "case", "claim", "contender", "dataset", "device", "division", "dtype", "fastest",
    "implementation", "kernel", "loss", "machine", "metric", "pass", "reduction", "state", "status",
    "suite", "target", "variant", "verdict",
})  # fmt: skip
_FEWEST_ROWS, _MOST_VALUES = 8, 24
# Texts of more characters than this break over lines.
_LONG = 48
# How many columns of a table can be set flush right.
_COLUMNS = 99
# Any folder: the root of the pages, for addresses that lead out of it.
_ROOT = "/published/site"


@dataclass(frozen=True)
class Page:
    """A place for blocks: what they name, and how it is reached from there.

    ``path``: from the root of the pages; ``nav``: the site's pages, none for a report of its own.
    ``prefix``, ``home``, ``records``, ``figures``: as of the `document.Part` that is drawn.
    ``rows``, ``apart``: the limit that tables and figures are kept to (`fitting`); ``whole`` says
    where all rows are.
    """

    path: str
    styles: Styles
    nav: tuple[Link, ...] = ()
    records: Mapping[str, str] = field(default_factory=dict)
    figures: str = "figures"
    whole: str = "all are in the records"
    prefix: str = ""
    home: str = ""
    rows: int = fitting.LIMITS[0][0]
    apart: bool = False

    def inside(self, part: model.Part) -> Page:
        return replace(self, prefix=part.name, home=part.page, records=part.records,
                       figures=part.figures or self.figures)  # fmt: skip

    def id(self, name: str) -> str:
        """An id of the page, of what the blocks call so."""
        return f"{self.prefix}-{name}" if self.prefix else name

    def address(self, target: str) -> str:
        """A `document.Link`'s address, as this page writes it."""
        path, mark, anchor = target.partition("#")
        if not path and not self.home:
            return f"#{self.id(anchor)}"
        return relative(path or self.home, self.path) + mark + anchor

    def leads(self, cell: model.Cell) -> str:
        """Where a cell leads; empty where it leads nowhere."""
        target = cell.href or self.records.get(cell.record, "")
        return self.address(target) if target else ""

    def cut(self, table: model.Table) -> model.Table:
        """As many of its rows as there is room for."""
        if len(table.rows) <= self.rows:
            return table
        said = f"the first {self.rows:,} of {len(table.rows):,} rows; {self.whole}"
        caption = f"{table.caption} ({said})" if table.caption else said.capitalize()
        return replace(table, rows=table.rows[: self.rows], anchors=table.anchors[: self.rows],
                       caption=caption)  # fmt: skip

    def drawing(self, figure: model.Figure) -> Markup:
        """The figure's SVG; empty where the page shows its file."""
        if self._is_apart(figure):
            return Markup()
        made = theme.themed(figure)
        return Markup(theme.renamed(made, self.prefix).svg if self.prefix else made.svg)

    def files(self, figure: model.Figure) -> list[Link]:
        """What lies beside the figure, the drawing last."""
        stem = f"{self.figures}/{figure.name}"
        data = [Link("data (JSON)", f"{stem}.json")] if self.nav else []
        drawn = [Link("figure (SVG)", f"{stem}.svg")] if data or self._is_apart(figure) else []
        return data + drawn

    def _is_apart(self, figure: model.Figure) -> bool:
        return self.apart and len(figure.svg) > fitting.LARGE_FIGURE

    @property
    def policy(self) -> str:
        """Only our script runs, and nothing is loaded from anywhere but beside the page.

        A file has no origin for 'self' to name in every browser, hence file:; and no integrity is
        checked for a file, hence no hash on a site. Figures are styled by attributes, hence
        'unsafe-inline', which holds for styles alone."""
        digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
        ours = "'self' file:" if self.nav else f"'sha256-{digest}'"
        style = "'self' file: 'unsafe-inline'" if self.nav else "'unsafe-inline'"
        return (
            f"default-src 'none'; script-src {ours}; style-src {style}; "
            "img-src 'self' data: file:; base-uri 'none'; form-action 'none'"
        )


def relative(target: str, page: str) -> str:
    """The address of ``target`` as ``page`` writes it; both are paths from the same root."""
    folder = posixpath.dirname(posixpath.join(_ROOT, page))
    return posixpath.relpath(posixpath.join(_ROOT, target), folder)


def render(document: Document, page: Page, body: Markup | None = None) -> str:
    """Everything that came from a record is escaped; only our own SVG is not, and ``body``, whose
    maker has escaped it. Raises `reports.fitting.TooLarge`."""

    def limited(rows: int, apart: bool) -> str:
        place = replace(page, rows=rows, apart=apart)
        return template().render(document=document, page=place, body=body) + "\n"

    # A body is made already: there is nothing to leave out of it.
    return limited(*fitting.LIMITS[0]) if body else fitting.fitted(limited, page.path)


def assets() -> dict[str, str]:
    """What every page of a site refers to."""
    return {
        STYLE: style_sheet(),
        SCRIPT: str(script()),
    }


@functools.cache
def template() -> jinja2.Template:
    """The page's template: escaping, our filters, nothing undefined."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain_text(value) if isinstance(value, str) else value,
    )
    made.filters["svg"] = Markup
    made.filters["kind"] = kind
    made.filters["worth"] = worth
    made.filters["classes"] = classes
    made.filters["filtered"] = filtered
    made.filters["flush_right"] = flush_right
    made.globals.update(script=script, style_sheet=style_sheet, STYLE=STYLE, SCRIPT=SCRIPT)
    return made.get_template("page.html")


@functools.cache
def script() -> Markup:
    """Our own script, as it stands inside its element."""
    return Markup((TEMPLATES / "interactive.js").read_text(encoding="utf-8"))


@functools.cache
def style_sheet() -> Markup:
    """The style of all pages. A table names its numeric columns: a class on each of their cells
    would be a twentieth of a page."""
    columns = ", ".join(f".n{n} :is(td, th):nth-child({n})" for n in range(1, _COLUMNS + 1))
    written = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return Markup(f"{written}{columns} {{ text-align: right; white-space: nowrap; }}\n")


def flush_right(made: model.Table) -> str:
    """The classes of its numeric columns, as the style sheet has them."""
    return " ".join(f"n{column + 1}" for column in sorted(made.numeric))


def worth(cell: model.Cell) -> str:
    """What the cell is worth in sorting, where its text does not say so itself."""
    return cell.sort or sorting.attribute(cell.text)


def classes(cell: model.Cell) -> str:
    """How the cell is set. In Python, for a page has tens of thousands of them."""
    long = len(cell.text) > _LONG and not cell.code
    return " ".join(filter(None, (cell.tone, "long" if long else "")))


def filtered(made: model.Table, column: int) -> bool:
    """Whether the reader is offered a choice of this column's texts to pick rows by."""
    if len(made.rows) < _FEWEST_ROWS or made.columns[column] not in _FILTERS:
        return False
    values = {row[column].text for row in made.rows if column < len(row)}
    return 1 < len(values) <= _MOST_VALUES


def plain_text(value: str) -> str:
    """Without control characters, which HTML can't hold; SVG and macros pass as they are."""
    if isinstance(value, Markup) or value.isprintable():
        return value
    return plain(value)


def kind(block: model.Block) -> str:
    return type(block).__name__
