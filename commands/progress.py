"""How far a command has got, and how long it still takes.

A bar in a terminal; elsewhere, as in the log of a CI, a plain line for each tenth of the way, or
after a minute without one. Both go to the error stream: the output stays for scripts.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from .messages import console, say

if TYPE_CHECKING:
    from benchmarks.steps import Progress

Clock = Callable[[], float]
# A log that says nothing for longer looks like a hang.
_SILENCE_S = 60.0


class Report(Protocol):
    """What a command calls at each step: what is done, of how much, and what it is at.

    ``total`` 0 says that nobody knows how much there is; 1 that ``done`` is a share of the way,
    where steps differ and their weights are known. ``left_s`` where the work itself knows better
    than the pace so far.
    """

    def __call__(
        self, done: float, total: float, what: str = "", *, left_s: float | None = None
    ) -> None: ...


class Pace:
    """The time left, by how long the steps so far have taken.

    What was there at the first step of these, as after ``--resume``, took no time. Another total
    is other work, whose pace is its own.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done = self.total = 0.0
        self._began = self._at = clock()
        self._first = 0.0
        self._given: float | None = None

    def step(self, done: float, total: float, left_s: float | None) -> None:
        self._at = self.clock()
        if total != self.total or done < self.done:
            self._began, self._first = self._at, done
        self.done, self.total, self._given = done, total, left_s

    @property
    def count(self) -> str:
        """As a share where the total is 1; empty where it is not known."""
        if self.total == 1:
            return f"{self.done:.0%}"
        return f"{self.done:.0f}/{self.total:.0f}" if self.total else ""

    @property
    def left_s(self) -> float | None:
        """It runs down between steps; None while it is unknown."""
        behind = self.done - self._first
        if self._given is not None:
            expected = self._given
        elif self.total and behind > 0:
            expected = (self._at - self._began) / behind * (self.total - self.done)
        else:
            return None
        return max(0.0, expected - (self.clock() - self._at))

    @property
    def spent_s(self) -> float:
        """On these steps."""
        return self.clock() - self._began


def clock_time(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextlib.contextmanager
def shown(
    what: str = "", *, on: Console | None = None, clock: Clock = time.monotonic
) -> Iterator[Report]:
    """What to call at each step. Until the first, and where there is none, a bar says ``what``."""
    on = on or console(stderr=True)
    pace = Pace(clock)
    if not on.is_interactive:
        yield _Lines(pace)
        return
    columns = (
        TextColumn("{task.fields[count]}", markup=False), BarColumn(24), _Left(pace),
        TextColumn("{task.description}", "dim", markup=False,
                   table_column=Column(no_wrap=True, overflow="ellipsis")),
    )  # fmt: skip
    # What is printed meanwhile is drawn above the bar, and so would leave the output for the error
    # stream: only where both are the same terminal.
    with Bar(
        *columns, console=on, transient=True, get_time=clock, redirect_stdout=sys.stdout.isatty()
    ) as bar:
        task = bar.add_task(what, total=None, count="")

        def report(
            done: float, total: float, what: str = "", *, left_s: float | None = None
        ) -> None:
            pace.step(done, total, left_s)
            bar.tasks[task].total = total or None  # for `update` None is no change
            bar.update(task, completed=done, count=pace.count, description=what)

        yield report


def named(report: Report) -> Callable[[str, int, int], None]:
    """For what says first what it is at, as a training does of its epochs."""
    return lambda what, done, total: report(done, total, what)


def steps(report: Report) -> Progress:
    """For a session, which knows the time that is left by what it expects of each case."""
    return lambda step: report(
        step.done, step.total, step.current or step.finished, left_s=step.left_s
    )


class _Left(ProgressColumn):
    """The time left, or the time spent while that is unknown."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def render(self, task: Task) -> Text:
        left_s = self.pace.left_s
        if left_s is None:
            return Text(f"{clock_time(self.pace.spent_s)} so far")
        return Text(f"{clock_time(left_s)} left")


class _Lines:
    """A plain line for each tenth of the way, for other work, and after a minute without one."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._last: tuple[float, int | str] | None = None
        self._said_at = 0.0

    def __call__(
        self, done: float, total: float, what: str = "", *, left_s: float | None = None
    ) -> None:
        pace = self.pace
        pace.step(done, total, left_s)
        here = (total, int(10 * done / total) if total else what)
        now = pace.clock()
        if here == self._last and now - self._said_at < _SILENCE_S:
            return
        self._last, self._said_at = here, now
        seconds = pace.left_s if done < total else None
        left = "" if seconds is None else f"{clock_time(seconds)} left"
        say("  ".join(filter(None, (pace.count, what, left))), err=True)


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
