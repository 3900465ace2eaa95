"""A report as files: the page, the same in Markdown, its figures and what stands beside them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path

from benchmarks import folders
from benchmarks.kinds import Kind

from . import fitting, pages, tables
from .document import Document
from .style import Styles

PAGE = "index.html"
MARKDOWN = "report.md"
FIGURES = "figures/"


def write(
    folder: Path, kind: Kind, made: Document, styles: Styles, beside: Mapping[str, str],
    option: str = "--out",
) -> Path:  # fmt: skip
    """`put` with what was `drawn`."""
    return put(folder, kind, drawn(made, styles, beside), option)


def drawn(made: Document, styles: Styles, beside: Mapping[str, str]) -> dict[str, str]:
    """The text of every file of a report, by its path; ``beside`` as it is."""
    return {
        **{f"{FIGURES}{figure.name}.svg": figure.svg + "\n" for figure in made.figures()},
        **beside,
        MARKDOWN: tables.markdown(made),
        PAGE: _page(made, styles),
    }


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
    owned.drop(name for name in owned.files - set(outputs) if name.startswith(FIGURES))
    return folder / PAGE


def _page(made: Document, styles: Styles) -> str:
    render = functools.partial(pages.render, styles=styles)
    return fitting.fitted(made, render, PAGE, f"all are in {MARKDOWN}", figures="figures")
