"""``marginbench static``: what the kernels compile to, held against what is pinned."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress
from rich.table import Table

from . import pins, static_matrix

SAME, DIFFERS, UNCHECKED = 0, 1, 3
_REPIN = "marginbench static --pin"


@dataclass(frozen=True)
class Examined:
    """What came of it. ``differences`` from the pins (while pinning: what they changed by);
    ``broken`` rules; ``compiled`` how many kernels; ``path`` of the pins. ``problem`` says why
    nothing was compared."""

    code: int
    compiled: int = 0
    differences: list[pins.Difference] = field(default_factory=list)
    broken: list[pins.Difference] = field(default_factory=list)
    path: Path | None = None
    problem: str = ""


def run(
    *,
    pin: bool,
    targets: Sequence[str] = (),
    kernels: Sequence[str] = (),
    folder: Path = pins.FOLDER,
    cache: Path | None = None,
    losses: Sequence[str] = (),
) -> int:
    """Compile, compare (or pin, showing what changes) and say it; returns the exit code.

    ``targets`` and names in ``kernels`` narrow what is compiled, compared and pinned.
    """
    found = examine(
        pin=pin, targets=targets, kernels=kernels, folder=folder, cache=cache, losses=losses
    )
    if found.problem or found.path is None:
        click.echo(found.problem, err=True)
        return found.code
    counts = f"{_count(found.differences)} {'changed' if pin else 'not as pinned'}"
    _show(found.differences, f"{'Changed' if pin else 'Not as pinned'} in {found.path.name}")
    _show(found.broken, "Rules that are broken")
    if pin:
        click.echo(f"{found.path}: {found.compiled} compiled kernels pinned, {counts}")
    else:
        click.echo(f"{found.compiled} compiled kernels, {counts}, {_count(found.broken)} wrong")
        if found.differences:
            click.echo(f"where that is meant, pin it with: {_REPIN}", err=True)
    return found.code


def examine(
    *,
    pin: bool,
    targets: Sequence[str] = (),
    kernels: Sequence[str] = (),
    folder: Path = pins.FOLDER,
    cache: Path | None = None,
    losses: Sequence[str] = (),
) -> Examined:
    """`run` without the telling: compile and compare, or pin."""
    if importlib.util.find_spec("triton") is None:
        return Examined(UNCHECKED, problem="not checked: Triton isn't installed")
    version = importlib.metadata.version("triton")
    path = pins.path_for(version, folder)
    if not pin and not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("triton-*.jsonl"))) or "none"
        problem = (
            f"not checked: nothing is pinned for Triton {version} (pinned: {there}); "
            f"pin what is compiled now with: {_REPIN}"
        )
        return Examined(UNCHECKED, problem=problem)
    targets = tuple(targets) or static_matrix.TARGETS
    try:
        everything = pins.read(path) if path.is_file() else []
        now = _compiled(targets, kernels, cache or static_matrix.cache_folder(), losses)
    except (pins.PinError, RuntimeError) as error:
        return Examined(DIFFERS, problem=f"error: {error}")
    before = [row for row in everything if chosen(row, targets, kernels)]
    found = pins.differences(before, now)
    if not pin:
        wrong = pins.breaks(now, before)
        code = DIFFERS if found or wrong or not now else SAME
        return Examined(code, len(now), found, wrong, path)
    replaced = {pins.key(row) for row in before}
    pins.write(path, [*(row for row in everything if pins.key(row) not in replaced), *now])
    # What was pinned is now all known; what may never be remains.
    wrong = pins.breaks(now, now)
    return Examined(DIFFERS if wrong else SAME, len(now), found, wrong, path)


def chosen(row: pins.Row, targets: Sequence[str], kernels: Sequence[str]) -> bool:
    """Whether what narrows the command leaves this row in."""
    return row["target"] in targets and (
        not kernels or any(name in row["kernel"] for name in kernels)
    )


def _count(found: list[pins.Difference]) -> int:
    return len({(d.kernel, d.target, d.arguments) for d in found})


def _show(found: list[pins.Difference], title: str) -> None:
    if not found:
        return
    table = Table("kernel", "target", "compiled for", "metric", "pinned", "now", title=title)
    for one in found:
        table.add_row(
            one.kernel, one.target, pins.short(one.arguments), one.metric,
            one.pinned[:40], one.now[:80],
        )  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def _compiled(targets, kernels, cache: Path, losses) -> list[pins.Row]:
    """The matrix, with a bar in a terminal and a line now and then elsewhere."""
    console = Console(stderr=True)
    workers = len(os.sched_getaffinity(0))

    def matrix(tell) -> list[pins.Row]:
        return static_matrix.compile_matrix(
            targets, kernels, cache=cache, workers=workers, losses=losses, tell=tell
        )

    if not console.is_terminal:
        return matrix(_Lines().tell)
    columns = ("{task.completed:.0f}/{task.total:.0f}", BarColumn(24), "[dim]{task.description}")
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1)
        return matrix(
            lambda done, total, what: bar.update(
                task, completed=done, total=max(total, 1), description=what
            )
        )


class _Lines:
    """A plain line for each tenth of the way."""

    def __init__(self) -> None:
        self._told = -1

    def tell(self, done: int, total: int, what: str) -> None:
        tenth = 10 * done // total if total else -1
        if tenth != self._told or not total:
            self._told = tenth
            click.echo(f"{done}/{total} {what}".rstrip() if total else what, err=True)
