"""The page: one HTML file that needs nothing else, neither network nor script."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from . import document as model
from .document import Document
from .style import Looks, plain


def render(document: Document, looks: Looks) -> str:
    """Everything that came from a record is escaped; only our own drawings are not."""
    template = environment().get_template("page.html")
    return template.render(document=document, looks=looks) + "\n"


def environment() -> jinja2.Environment:
    """How every page is written: escaped, and nothing that is undefined."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain_text(value) if isinstance(value, str) else value,
    )
    made.filters["drawing"] = Markup
    made.filters["kind"] = kind
    return made


def plain_text(value: str) -> str:
    """Without control characters, which HTML can't hold; drawings and macros pass as they are."""
    if isinstance(value, Markup) or value.isprintable():
        return value
    return plain(value)


def kind(block: model.Block) -> str:
    return type(block).__name__
