"""``marginbench compare``: from its words to what compares them, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from benchmarks.records import folders, kinds

from . import progress
from .endings import NOT_POSSIBLE
from .messages import console, say
from .parameters import Share
from .paths import ROOT, RUNS, STORES, Folder
from .recorded import command_line

if TYPE_CHECKING:
    from reports.compare.across import Compared
    from reports.compare.page import Part
    from reports.compare.sides import Side

# How wide tables are in a log.
_WIDTH = 160


@click.command()
@click.argument("files", nargs=-1)
@click.option("--base", multiple=True, help="A run or file of the base; repeatable.")
@click.option("--candidate", multiple=True,
              help="A run or file of the candidate; repeatable.")  # fmt: skip
@click.option("--contender", "contenders", multiple=True,
              help="Only this one; repeatable. With one run: the two to compare.")  # fmt: skip
@click.option("--smallest-effect", type=Share(), default=0.03,
              help="The smallest difference that matters.  [default: 3%]")  # fmt: skip
@click.option("--process-sd", type=Share(), default=0.031,
              help="How much two processes of identical code differ.  [default: 3.1%]")  # fmt: skip
@click.option("--across-machines", is_flag=True,
              help="Compare times even if machines or versions differ.")  # fmt: skip
@click.option("--out", type=Folder(), help="A new folder, or one of an earlier comparison.  "
              "[default: reports/out/compare]")  # fmt: skip
def compare(**options: Any) -> None:
    """Compare runs: what changed, and is anything slower?

    FILES are the base, followed by the runs to compare with it: of other commits, machines, torch
    versions or contenders. Each is a run's folder, its records.jsonl, or a JSON file of
    pytest-benchmark; or it selects stored runs: a git revision, commit:REVISION, torch:VERSION or
    machine:WORDS. One run with two --contender compares the second contender with the first.

    A run is one process, and two processes of identical code differ by about 3.1%, no matter how
    many rounds they take. If all times shift together, the machine may be the cause: with one run
    per side, only what is slower than that common shift counts as slower, and a change of
    everything is inconclusive. More runs per side (--base, --candidate) separate the two and narrow
    the interval. Exact figures (bytes, counts) are compared exactly. Times of different machines
    are compared only with --across-machines.

    \b
    Examples:
      marginbench compare reports/out/BEFORE reports/out/AFTER
      marginbench compare commit:HEAD~1 commit:HEAD
      marginbench compare reports/out/RUN --contender eager --contender triton
      marginbench compare --base A.json --base B.json --candidate C.json --candidate D.json

    Exit codes: 0 no regression, 1 a regression, 2 bad usage, 3 not compared, inconclusive, or
    the page can't be written.
    """
    from reports.compare.ratios import Rule
    from reports.compare.runs import file_of
    from reports.compare.sides import Unknown, resolve

    files, base, candidate = options["files"], options["base"], options["candidate"]
    if files and (base or candidate):
        raise click.UsageError("expected runs, or --base and --candidate; got both")
    rule = Rule(options["process_sd"], options["smallest_effect"])
    try:
        sides = {word: resolve(word, STORES, ROOT) for word in (*files, *base, *candidate)}
    except Unknown as error:
        raise click.UsageError(str(error)) from None
    if any(side.by or any(map(file_of, side.paths)) for side in sides.values()):
        sys.exit(_records(options, sides, rule))
    sys.exit(_benchmark_files(options, rule))


def _benchmark_files(options: dict[str, Any], rule: Any) -> int:
    """pytest-benchmark's files; the exit code."""
    from reports.compare import benchmark_files

    files, base, candidate = options["files"], options["base"], options["candidate"]
    if options["contenders"]:
        raise click.UsageError("--contender: expected runs of MarginBench; got other files")
    if files:
        if len(files) != 2:
            raise click.UsageError(f"expected BASE.json CANDIDATE.json; got {len(files)} files")
        base, candidate = files[:1], files[1:]
    if not base or not candidate:
        raise click.UsageError("expected two files, or --base and --candidate each at least once")
    return benchmark_files.run(
        [Path(word) for word in base], [Path(word) for word in candidate], rule,
        across_machines=options["across_machines"], report=say,
    )  # fmt: skip


def _records(options: dict[str, Any], sides: dict[str, Side], rule: Any) -> int:
    """Runs of ours; the exit code."""
    from marginbench.catalogue import UnknownName
    from reports.compare import across, page
    from reports.compare.loading import NotComparable

    out = options["out"] or RUNS / "compare"
    folders.check(out, kinds.COMPARISON, "--out")
    asked = across.Asked(
        rule, options["across_machines"], options["contenders"],
        command_line("marginbench compare", compare, options,
                     leave_out=("out",)),
    )  # fmt: skip
    try:
        with progress.shown("comparing the runs"):
            found = _compared(options, sides, asked)
    except NotComparable as error:
        say(f"not compared: {error}")
        return NOT_POSSIBLE
    except UnknownName as error:
        raise click.UsageError(str(error)) from None
    for part in found.made.parts:
        _show(part, found.made.base)
    say(f"comparison: {page.write(found.made, out)}")
    if found.reason:
        say(f"not compared: {found.reason}")
    return found.code


def _compared(options: dict[str, Any], sides: dict[str, Side], asked: Any) -> Compared:
    from reports.compare import across

    files, base, candidate = options["files"], options["base"], options["candidate"]
    if len(files) == 1:
        (one,) = files
        if len(asked.contenders) != 2 or len(sides[one].paths) != 1:
            raise click.UsageError("expected two runs, or one run and two --contender")
        return across.inside(sides[one], asked)
    if files:
        return across.run(sides[files[0]], [sides[word] for word in files[1:]], asked)
    if not base or not candidate:
        raise click.UsageError("expected two runs, or --base and --candidate each at least once")
    first, second = (_joined([sides[word] for word in words]) for words in (base, candidate))
    return across.run(first, [second], asked)


def _joined(sides: Sequence[Side]) -> Side:
    from reports.compare.sides import Side

    by = {side.by for side in sides}
    paths = tuple(path for side in sides for path in side.paths)
    return Side(", ".join(side.label for side in sides), paths, by.pop() if len(by) == 1 else "")


def _show(part: Part, base: str) -> None:
    from reports.compare import across, page

    for notice in part.notices:
        say(notice)
    if part.barred:
        say(f"{part.label}: times are not compared: {part.barred}")
    rows = across.most(part)
    if rows:
        table = Table("verdict", "figure", "ratio", "interval", title=f"{part.label}: most first")
        for row in rows:
            table.add_row(*row)
        console(_WIDTH).print(table)
    if part.shift:
        say(part.shift)
    say(f"{part.label} against {base}: {page.counted(part)}")
