"""The page: one HTML file that needs nothing else, neither network nor script.

Its own small script (``templates/interactive.js``) sorts and filters tables and picks what figures
show.
A content security policy allows that script and no other, and no request to anywhere.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import replace
from pathlib import Path

import jinja2
from markupsafe import Markup

from . import document as model
from . import sorting, theme
from .document import Document
from .style import Styles, plain

TEMPLATES = Path(__file__).resolve().parent / "templates"
# Columns that people narrow a table down by, where it has a few values and many rows.
_FILTERS = frozenset({
    "arm", "case", "claim", "contender", "dataset", "device", "division", "dtype", "fastest",
    "implementation", "kernel", "loss", "machine", "metric", "pass", "reduction", "state", "status",
    "suite", "target", "variant", "verdict",
})  # fmt: skip
_FEWEST_ROWS, _MOST_VALUES = 8, 24
# Texts of more characters than this break over lines.
_LONG = 48


def render(document: Document, styles: Styles) -> str:
    """Everything that came from a record is escaped; only our own SVG is not."""
    document = replace(document, sections=model.changed(document.sections, theme.block))
    template = environment().get_template("page.html")
    return (
        template.render(document=document, styles=styles, script=script(), policy=policy()) + "\n"
    )


def environment() -> jinja2.Environment:
    """What the page's templates are drawn with: escaping, our filters, nothing undefined."""
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
    return made


@functools.cache
def script() -> Markup:
    """Our own script, as it stands inside its element."""
    return Markup((TEMPLATES / "interactive.js").read_text(encoding="utf-8"))


def policy() -> str:
    """Only our script runs, and nothing is loaded from anywhere but beside the page."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src 'self' data: file:; base-uri 'none'; form-action 'none'"
    )


def worth(cell: model.Cell) -> str:
    """What the cell is worth in sorting, where its text does not say so itself."""
    return cell.sort or sorting.attribute(cell.text)


def classes(cell: model.Cell, number: bool) -> str:
    """How the cell is set. In Python, for a page has tens of thousands of them."""
    long = len(cell.text) > _LONG and not cell.code
    return " ".join(filter(None, (cell.tone, "number" if number else "", "long" if long else "")))


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
