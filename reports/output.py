"""A report as files: the page, its Markdown twin, its figures and what stands beside them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from benchmarks import files

from . import fitting, pages, tables
from .document import Document
from .style import Looks

PAGE = "index.html"
MARKDOWN = "report.md"


def write(folder: Path, made: Document, looks: Looks, beside: Mapping[str, str]) -> Path:
    """Writes all of it, ``beside`` by file name too, and returns the page's path; takes away
    figures of an earlier report there. All is drawn before the first file is touched, and each is
    replaced as a whole or not at all."""
    outputs = {
        **{f"figures/{figure.name}.svg": figure.svg + "\n" for figure in made.figures()},
        **beside,
        MARKDOWN: tables.markdown(made),
        PAGE: _page(made, looks),
    }
    for stale in set((folder / "figures").glob("*.svg")) - {folder / name for name in outputs}:
        stale.unlink()
    for name, text in outputs.items():
        files.write(folder / name, text)
    return folder / PAGE


def _page(made: Document, looks: Looks) -> str:
    render = functools.partial(pages.render, looks=looks)
    return fitting.fitted(made, render, PAGE, f"all are in {MARKDOWN}", figures="figures")
