"""How far something long has got: a bar on a terminal, else a plain line for each tenth."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

Advance = Callable[[int], None]
# Given what is done and how many steps it has, a context whose value takes the steps done.
Progress = Callable[[str, int], AbstractContextManager[Advance]]


@contextlib.contextmanager
def shown(what: str, total: int) -> Iterator[Advance]:
    """On standard error, so that a command's output stays what it is."""
    if not sys.stderr.isatty():
        yield lambda done: _line(what, done, total)
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _line(what: str, done: int, total: int) -> None:
    if total and done * 10 // total != (done - 1) * 10 // total:
        print(f"{what}: {done:,} of {total:,}", file=sys.stderr, flush=True)
