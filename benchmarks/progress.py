"""Shows a running session (a bar in a terminal, a plain line a case elsewhere) and its outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress as Bar
from rich.table import Table

from .session import Progress, Step, plain


@contextlib.contextmanager
def shown(console: Console) -> Iterator[Progress]:
    """What a session calls at each step: what runs, how many cases are left, the time expected."""
    if not console.is_terminal:
        yield plain
        return
    columns = (
        "{task.completed:.0f}/{task.total:.0f}",
        BarColumn(24),
        "{task.fields[left]} left",
        "[dim]{task.fields[current]}",
    )
    with Bar(*columns, console=console, transient=True) as bar:
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


def summary(console: Console, rows: list[tuple[str, str, str, str]]) -> None:
    """One row a variant, its first drawn case; the report has them all."""
    first: dict[str, tuple[str, str, str, str]] = {}
    for row in sorted(rows, key=lambda row: row[0].endswith("digits")):
        first.setdefault(row[0].split()[0], row)
    if not first:
        return
    table = Table("case", "fastest", "by", "95% interval", title="Forward and backward")
    for row in first.values():
        table.add_row(*row)
    console.print(table)
    console.print(f"{len(first)} of {len(rows)} timed cases; the report has them all")
