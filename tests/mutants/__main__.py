"""``python -m tests.mutants``: every planted wrong kernel must turn a test red.

Exit codes: 0 all are found; 1 one survives; 2 bad usage; 3 a mutant does not apply or is invalid,
none is declared or one was not judged, or the unmutated tree is red or its tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TimeRemainingColumn
from rich.table import Table

from tests.support.seeding import seed_of

from . import declared, forking
from .declared import BadMutant, Mutant
from .judging import FOUND, INVALID, SURVIVES, Judge, Judged

# Any seed does; a fixed one makes a mutant that is found today be found tomorrow.
SEED = 1
console = Console(soft_wrap=True)


@click.command(help=__doc__)
@click.option("--only", metavar="NAME", multiple=True, help="These mutants alone; may be repeated.")
@click.option("--sample", is_flag=True,
              help=f"{declared.A_LOSS} of each loss, and {declared.SHARED} of the shared kernels, "
              "others with each commit.")  # fmt: skip
@click.option("--list", "list_them", is_flag=True, help="Name the mutants and run nothing.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--output", is_flag=True, help="Show what pytest said of each mutant.")
def main(only: tuple[str, ...], sample: bool, list_them: bool, workers: int, output: bool) -> None:
    if only and sample:
        raise click.UsageError("--only names mutants: expected no --sample beside it")
    try:
        every = declared.mutants()
        found = declared.sampled(every, _seed(declared.ROOT)) if sample else _chosen(every, only)
        if list_them:
            for mutant in found:
                click.echo(f"{mutant.name:58} {mutant.kind:12} {mutant.file}")
        else:
            _run(found, workers, show=output, of=len(every))
    except BadMutant as error:
        console.print(f"[red]{error}")
        sys.exit(3)


def _chosen(found: list[Mutant], only: Sequence[str]) -> list[Mutant]:
    names = [mutant.name for mutant in found]
    for name in only:
        if name not in names:
            # Here alone: what this process has of the library, the runs of mutants would have too.
            from marginbench.spelling import meant

            hint = meant(name, names) or "; --list names them"
            raise click.BadParameter(f"no mutant is called {name}{hint}", param_hint="--only")
    return [mutant for mutant in found if not only or mutant.name in only]


def _seed(root: Path) -> int:
    """The tests' own: a sample is as good as the tests that are drawn for the same commit."""
    return int(os.environ.get("MARGINBENCH_TEST_SEED") or seed_of(root))


def _run(found: list[Mutant], workers: int, *, show: bool, of: int) -> None:
    for mutant in found:  # before anything slow
        mutant.applied((declared.ROOT / mutant.file).read_text())
    seed = int(os.environ.get("MARGINBENCH_TEST_SEED", SEED))
    console.print(f"{len(found)} of {of} mutants, MARGINBENCH_TEST_SEED={seed}")
    began, before = time.monotonic(), time.process_time()
    forking.prepare()
    with tempfile.TemporaryDirectory(prefix="marginbench-mutants-") as temporary:
        folders = [Path(temporary).resolve() / f"tree{k}" for k in range(workers)]
        for folder in folders:
            forking.copy_tree(declared.ROOT, folder)
        with _progress(len(found)) as (announce, wait):
            judge = Judge(declared.ROOT, folders, seed, wait)
            cpu_s = _whole_tree(judge, found)
            judged = []
            for one in judge.judge(found):
                judged.append(one)
                announce(one, show)
    cpu_s += time.process_time() - before + sum(one.cpu_s for one in judged)
    judged.sort(key=lambda one: found.index(one.mutant))
    _print(judged)
    count = sum(one.state == FOUND for one in judged)
    console.print(
        f"{count} of {len(judged)} found in {time.monotonic() - began:.0f} s "
        f"({cpu_s:.0f} s of processor time)",
    )  # fmt: skip
    if len(found) < of:
        console.print(f"{of - len(found)} of {of} were not run: make mutants runs all")
    if len(judged) != len(found):
        raise BadMutant(f"expected {len(found)} mutants to be judged; {len(judged)} were")
    states = {one.state for one in judged}
    sys.exit(3 if INVALID in states else 1 if SURVIVES in states else 0)


def _whole_tree(judge: Judge, found: list[Mutant]) -> float:
    """The tests that should find mutants must pass without one; returns the processor's time."""
    tests = list(dict.fromkeys(test for mutant in found for test in mutant.tests))
    spent = 0.0
    for ran in judge.unmutated(tests):
        spent += ran.cpu_s
        if ran.code != 0:
            console.print(ran.output, markup=False)
            raise BadMutant(f"the unmutated tree is red (exit code {ran.code}): {ran.failed}")
        if not ran.passed:
            console.print(ran.output, markup=False)
            raise BadMutant("of the tests that should find mutants none was run: all are skipped")
        console.print(f"unmutated: {ran.passed} tests passed in {ran.seconds:.0f} s")
    return spent


@contextlib.contextmanager
def _progress(total: int) -> Iterator[tuple[Callable, Callable]]:
    """Two functions: one prints what became of a mutant, one is called while waiting. A plain line
    a mutant where there is no terminal. Nothing here may start a thread: the process forks."""
    columns = ("{task.completed:.0f}/{task.total:.0f}", BarColumn(24), TimeRemainingColumn(),
               "[dim]{task.description}")  # fmt: skip
    terminal = console.is_terminal
    bar = Progress(*columns, console=console, auto_refresh=False, disable=not terminal)
    with bar:
        task = bar.add_task("the unmutated tree", total=total)
        done = 0

        def announce(one: Judged, show: bool) -> None:
            nonlocal done
            done += 1
            bar.update(task, advance=1, description=one.mutant.name)
            if not terminal or one.state != FOUND or show:
                line = f"{done}/{total} {one.mutant.name}: {one.state} ({one.seconds:.1f} s)"
                console.print(f"{line} {one.by} {one.reason}", markup=False)
            if show or one.state == INVALID:
                console.print(one.output, markup=False)

        yield announce, bar.refresh


def _print(judged: list[Judged]) -> None:
    table = Table("mutant", "kind", "file", "found by", "s", box=None)
    for one in judged:
        by = one.by if one.state == FOUND else f"[red]{one.state}: {one.reason}"
        if one.elsewhere and one.state == FOUND:
            by += " (not named for it)"
        file = one.mutant.file.removeprefix("kernels/marginbench/")
        table.add_row(one.mutant.name, one.mutant.kind, file, by, f"{one.seconds:.1f}")
    console.print(table)


if __name__ == "__main__":
    main(prog_name="python -m tests.mutants")
