"""How far a command has got: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress as Bar
from rich.table import Table

from .messages import console

if TYPE_CHECKING:
    from benchmarks.session import Progress, Step

_COUNT = "{task.completed:.0f}/{task.total:.0f}"


@contextlib.contextmanager
def session(shown_on: Console) -> Iterator[Progress]:
    """What a session calls at each step: what runs, how many cases are left, the time expected."""
    from benchmarks.session import plain

    if not shown_on.is_terminal:
        yield plain
        return
    columns = (_COUNT, BarColumn(24), "{task.fields[left]} left", "[dim]{task.fields[current]}")
    with Bar(*columns, console=shown_on, transient=True) as bar:
        task = bar.add_task("", total=1, left="?", current="starting")

        def tell(step: Step) -> None:
            minutes, seconds = divmod(round(step.left_s), 60)
            bar.update(
                task,
                total=step.total,
                completed=step.done,
                left=f"{minutes}:{seconds:02}",
                current=step.current or step.finished,
            )

        yield tell


@contextlib.contextmanager
def counted() -> Iterator[Callable[[int, int, str], None]]:
    """Given what is done, of how many, and what it is at: on the error stream, where it is no
    terminal a line for each tenth of the way."""
    shown_on = console(stderr=True)
    if not shown_on.is_terminal:
        yield _Lines().tell
        return
    with Bar(
        _COUNT, BarColumn(24), "[dim]{task.description}", console=shown_on, transient=True
    ) as bar:
        task = bar.add_task("", total=1)
        yield lambda done, total, what: bar.update(
            task, completed=done, total=max(total, 1), description=what
        )


class _Lines:
    """A plain line for each tenth of the way."""

    def __init__(self) -> None:
        self._tenth = -1

    def tell(self, done: int, total: int, what: str) -> None:
        tenth = 10 * done // total if total else -1
        if tenth != self._tenth or not total:
            self._tenth = tenth
            click.echo(f"{done}/{total} {what}".rstrip() if total else what, err=True)


def summary(shown_on: Console, rows: list[tuple[str, str, str, str]]) -> None:
    """One row a variant, its first drawn case; the report has them all."""
    first: dict[str, tuple[str, str, str, str]] = {}
    for row in sorted(rows, key=lambda row: row[0].endswith("digits")):
        first.setdefault(row[0].split()[0], row)
    if not first:
        return
    table = Table("case", "fastest", "by", "95% interval", title="Forward and backward")
    for row in first.values():
        table.add_row(*row)
    shown_on.print(table)
    shown_on.print(f"{len(first)} of {len(rows)} timed cases; the report has them all")
