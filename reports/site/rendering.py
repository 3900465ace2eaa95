"""From a document to a page of the site: addresses relative, within the size."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jinja2
from markupsafe import Markup

from .. import fitting, pages, theme
from ..document import Block, Cell, Document, Figure, Link, Links, Table, changed
from ..overview import FIGURES
from ..style import Styles
from .context import relative

FOOTER = (
    f"{FIGURES} A linked figure leads to its record, with all raw rounds and the command that "
    "measures it again."
)
STYLE, SCRIPT = "assets/style.css", "assets/interactive.js"


@dataclass(frozen=True)
class Frame:
    """What all pages share: their navigation, and the style of each contender."""

    nav: tuple[Link, ...]
    styles: Styles


def page(document: Document, path: str, frame: Frame) -> str:
    """``path`` from the site's root. Raises `reports.fitting.TooLarge`."""
    change = functools.partial(_addressed, page=path)

    def render(made: Document) -> str:
        return _template("page.html").render(
            document=made, styles=frame.styles, nav=_nav(frame.nav, path),
            root="../" * path.count("/"),
        ) + "\n"  # fmt: skip

    made = replace(document, sections=changed(document.sections, change))
    return fitting.fitted(made, render, path, "all are in the records")


@functools.cache
def _template(name: str) -> jinja2.Template:
    return pages.environment().get_template(f"site/{name}")


def bare(title: str, subtitle: str, body: Markup, path: str, frame: Frame) -> str:
    """A page whose body is made already; whoever made it has escaped what came from a record."""
    return _template("bare.html").render(
        title=title, subtitle=subtitle, body=body, nav=_nav(frame.nav, path),
        root="../" * path.count("/"),
    ) + "\n"  # fmt: skip


def _nav(nav: Sequence[Link], path: str) -> list[tuple[Link, bool]]:
    return [(replace(one, href=relative(one.href, path)), one.href == path) for one in nav]


def assets() -> dict[str, str]:
    """What every page refers to."""
    styles = (pages.TEMPLATES / name for name in ("style.css", "site/site.css"))
    return {
        STYLE: "".join(path.read_text(encoding="utf-8") for path in styles),
        SCRIPT: str(pages.script()),
    }


def _addressed(block: Block, page: str) -> Block:
    """Addresses from the site's root as the page writes them."""
    if isinstance(block, Table):
        rows = tuple(tuple(_cell(cell, page) for cell in row) for row in block.rows)
        return replace(block, rows=rows)
    if isinstance(block, Figure):
        return replace(theme.themed(block), files=_links(block.files, page))
    if isinstance(block, Links):
        return replace(block, items=_links(block.items, page))
    return block


def _links(items: Sequence[Link], page: str) -> tuple[Link, ...]:
    return tuple(replace(one, href=relative(one.href, page)) for one in items)


def _cell(cell: Cell, page: str) -> Cell:
    return replace(cell, href=relative(cell.href, page)) if cell.href else cell
