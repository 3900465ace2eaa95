"""How every command prints: lines by `say`, tables on a `console`.

Names of folders, files and machines are anybody's: neither rich's markup nor a terminal's escape
codes in them are obeyed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from .endings import visible


def say(line: object = "", *, err: bool = False) -> None:
    """A line of the output, or of the error stream."""
    click.echo(visible(str(line)), err=err)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Ended where every command ends: rich would end with 1, which is a verdict's."""
        raise

    def render_str(self, text: str, **given: Any) -> Text:
        """Before a column's width is taken of it."""
        return super().render_str(visible(text), **given)

    def render(self, *args: Any, **given: Any) -> Iterable[Segment]:
        """Styles are no text yet: an escape code in a text is a name's."""
        for one in super().render(*args, **given):
            yield one if one.control else Segment(visible(one.text), one.style)


def console(width: int | None = None, *, stderr: bool = False) -> Console:
    """Where tables go. In a log or a pipe, which has no width, ``width`` counts: what a script
    reads is then not folded at rich's 80 columns."""
    found = _Console(stderr=stderr, markup=False)
    if width is None or found.is_terminal:
        return found
    return _Console(stderr=stderr, markup=False, width=width)
