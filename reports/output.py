"""A report as files: the page, the same in Markdown, its figures and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from benchmarks.records import folders
from benchmarks.records.kinds import Kind

from . import pages, tables
from .document import Document, Figure
from .pages import Page
from .style import Styles

PAGE = "index.html"
MARKDOWN = "report.md"
FIGURES = "figures"


def write(
    folder: Path, kind: Kind, made: Document, styles: Styles, beside: Mapping[str, str],
    option: str = "--out",
) -> Path:  # fmt: skip
    """`put` with what was `drawn`."""
    return put(folder, kind, drawn(made, styles, beside), option)


def drawn(
    made: Document, styles: Styles, beside: Mapping[str, str],
    records: Mapping[str, str] | None = None,
) -> dict[str, str]:  # fmt: skip
    """The text of every file of a report, by its path; ``beside`` as it is, ``records`` as of
    `pages.Page`."""
    page = Page(PAGE, styles, records=records or {}, whole=f"all are in {MARKDOWN}")
    return {
        **figure_files(made.figures(), FIGURES),
        **beside,
        MARKDOWN: tables.markdown(made),
        PAGE: pages.render(made, page),
    }


def figure_files(
    figures: Iterable[Figure], folder: str, data: Callable[[Figure], str] | None = None
) -> dict[str, str]:
    """Each figure's drawing by its path, and what ``data`` writes of it beside it."""
    found = {}
    for figure in figures:
        if data:
            found[f"{folder}/{figure.name}.json"] = data(figure)
        found[f"{folder}/{figure.name}.svg"] = figure.svg + "\n"
    return found


def put(
    folder: Path, kind: Kind, outputs: Mapping[str, str], option: str, also: Collection[str] = ()
) -> Path:
    """Writes them and returns the page's path; takes away figures of an earlier report of ours
    there. Each is replaced as a whole or not at all.

    Raises `folders.Refused`, before the first file is touched, where the folder is not of this kind
    or holds a file of somebody else's under one of these names or of ``also``; ``option`` is how
    the command line names the folder.
    """
    owned = folders.make(folder, kind, option, {*outputs, *also})
    owned.write(outputs)
    owned.drop(name for name in owned.files - set(outputs) if name.startswith(f"{FIGURES}/"))
    return folder / PAGE
