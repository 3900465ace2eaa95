"""The commands that read what was measured: ``report``, ``history`` and ``compare``.

Like the rest of the command line it imports the standard library and click only; a command
imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click

from benchmarks.record_files import FILE

REPORTS = Path(__file__).resolve().parent
RUNS = REPORTS / "out"
NOT_POSSIBLE = 3


class Share(click.ParamType):
    """A share of a time: 3% or 0.03."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, float):
            return value
        try:
            found = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            found = -1.0
        if not 0 < found < 1:
            self.fail(f"expected a share between 0 and 1, such as 3% or 0.03; got {value}")
        return found


@click.command()
@click.argument("run_dir", required=False, type=click.Path(path_type=Path))
@click.option("--pdf", "as_pdf", is_flag=True, help="Print report.pdf too; needs Chromium.")
def report(run_dir: Path | None, as_pdf: bool) -> None:
    """Draw a run's report again from its records (by default the newest run's)."""
    from .build import build

    if run_dir is None:
        runs = sorted(path.parent for path in RUNS.glob(f"*/{FILE}"))
        if not runs:
            _fail(f"RUN_DIR: expected a run under {RUNS}; there is none yet: marginbench run", 1)
        run_dir = runs[-1]
    page = build(run_dir)
    click.echo(f"report: {page}")
    if not as_pdf:
        return
    from . import pdf

    try:
        made = pdf.write(page, page.with_name("report.pdf"))
    except pdf.NoPdf as error:
        _fail(str(error), NOT_POSSIBLE)
    click.echo(f"PDF:    {made} ({made.stat().st_size / 2**20:.1f} MiB)")


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Where the page goes.  [default: reports/out/history]")  # fmt: skip
def history(folders: tuple[Path, ...], out: Path | None) -> None:
    """Draw each metric over the commits, and mark where its level changes.

    Reads every records.jsonl, also compressed (.xz), under FOLDERS: by default the stored runs'
    and the published ones'.
    Times stand in one series only if one machine with one torch and triton took them. It informs
    and gates nothing: exit code 0 whatever it finds, 3 where there is nothing to read.
    """
    if importlib.util.find_spec("ruptures") is None:
        mend = "make history, or: pip install --constraint requirements.lock -e '.[history]'"
        _fail(f"history needs the package ruptures; it is not installed: {mend}", NOT_POSSIBLE)
    from . import reading
    from .history.page import build

    found = [file for file, _ in reading.stored(folders or (RUNS, REPORTS / "published"))]
    if not found:
        where = ", ".join(map(str, folders)) or f"{RUNS} or reports/published"
        _fail(f"expected records.jsonl under {where}; there is none: marginbench run", NOT_POSSIBLE)
    made = build(found, out or RUNS / "history", REPORTS.parent)
    for reason in made.gathered.refused:
        click.echo(f"not read: {reason}", err=True)
    if not made.gathered.files:
        _fail("none of the record files can be read", NOT_POSSIBLE)
    _show(made)


def _show(made: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from .history.page import COLUMNS

    if made.gathered.dirty:
        click.echo(f"{len(made.gathered.dirty)} runs with uncommitted changes are left out")
    if not made.drawn:
        click.echo("nothing to draw yet: a history takes two commits that were measured clean")
    if made.rows:
        table = Table(*COLUMNS)
        for row in made.rows:
            table.add_row(*row.cells)
        console = Console()
        (console if console.is_terminal else Console(width=200)).print(table)
    click.echo(
        f"{len(made.rows)} changes in {made.drawn} series over {len(made.gathered.measured_at)} "
        f"commits; {made.alone} series have one commit only\nhistory: {made.page}"
    )


@click.command()
@click.argument("files", nargs=-1)
@click.option("--base", multiple=True, help="A run or file of the base; repeat it for more.")
@click.option("--candidate", multiple=True,
              help="A run or file of the candidate; repeat it for more processes.")  # fmt: skip
@click.option("--contender", "contenders", multiple=True,
              help="Only this one; two inside one run compare them.")  # fmt: skip
@click.option("--smallest-effect", type=Share(), default=0.03, show_default="3%",
              help="The least difference that matters.")  # fmt: skip
@click.option("--process-sd", type=Share(), default=0.031, show_default="3.1%",
              help="How far two processes of identical code differ.")  # fmt: skip
@click.option("--across-machines", is_flag=True, help="Compare even if machine or versions differ.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Where the page goes.  [default: reports/out/compare]")  # fmt: skip
def compare(
    files: tuple[str, ...],
    base: tuple[str, ...],
    candidate: tuple[str, ...],
    contenders: tuple[str, ...],
    smallest_effect: float,
    process_sd: float,
    across_machines: bool,
    out: Path | None,
) -> None:
    """Compare runs, commits, machines, torch versions or contenders: BASE CANDIDATE...

    Each is a run's folder or records.jsonl; or stored runs: a revision, commit:REVISION,
    torch:VERSION, machine:WORDS; or a JSON file of pytest-benchmark. With two --contender and one
    run, the second is compared with the first inside it.

    Each run is one process, and two processes of identical code differ by 3.1%, however many
    rounds they take; by more where their times are seen to scatter more. What all times moved by
    together can be the machine's: with one run a side, slower is what is so beyond that too, and
    a change to everything is not decided. More runs a side (--base, --candidate) tell the
    machine's part and narrow the interval. Exact figures (bytes, counts) are compared exactly.
    Times of two machines are not compared unless asked.

    Exit codes: 0 no regression, 1 a regression, 2 usage, 3 not compared or not decided.
    """
    from .compare.choosing import choose

    sys.exit(choose(files, base, candidate, contenders, (process_sd, smallest_effect),
                    across_machines, out))  # fmt: skip


def register(cli: click.Group) -> None:
    """Puts the commands on the command line."""
    for command in (report, history, compare):
        cli.add_command(command)


def new_folder() -> Path:
    """Where a run goes that is not told where."""
    return RUNS / time.strftime("%Y-%m-%d-%H%M%S")


def unwritable(error: OSError) -> str:
    """A folder or a disk that refused a file, as a sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"disk full: {error.filename} is not written; free some space, then run the same "
            "again; what was measured is kept (run --resume)"
        )
    return f"expected a folder that can be written; {error.strerror}: {error.filename}"


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)
