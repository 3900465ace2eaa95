"""``marginbench history``: every metric over the commits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from benchmarks.records import folders as places
from benchmarks.records import kinds

from . import progress
from .endings import fail
from .messages import console, say
from .paths import ROOT, RUNS, STORES, Folder

# How wide the table is in a log.
_WIDTH = 200


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=Folder(), help="A new folder, or one of an earlier history.  "
              "[default: reports/out/history]")  # fmt: skip
def history(folders: tuple[Path, ...], out: Path | None) -> None:
    """Plot each metric over the commits, and mark changes.

    Reads every records.jsonl and records.jsonl.xz under FOLDERS, by default of all stored and
    published runs. Times form one series only if the machine and the versions of torch and triton
    are the same.

    \b
    Examples:
      marginbench history
      marginbench history reports/out reports/published --out HISTORY

    \b
    Exit codes:
      0  drawn, whatever it finds: it is for information only
      2  bad usage, or --out holds something other than an earlier history (left untouched)
      3  there is nothing to read, or the page can't be written
    """
    out = out or RUNS / "history"
    places.check(out, kinds.HISTORY, "--out")
    if importlib.util.find_spec("ruptures") is None:
        mend = "make history, or: pip install --constraint requirements.lock -e '.[history]'"
        fail(f"history needs the package ruptures; it is not installed: {mend}")
    from reports import reading
    from reports.history.page import build

    found = [file for file, _ in reading.stored(folders or STORES)]
    if not found:
        where = ", ".join(map(str, folders)) or f"{RUNS} or reports/published"
        fail(f"expected records.jsonl under {where}; there is none: marginbench run")
    with progress.shown() as report:
        made = build(found, out, ROOT, report)
    for reason in made.gathered.refused:
        say(f"not read: {reason}", err=True)
    if not made.gathered.files:
        fail("none of the record files can be read")
    _show(made)


def _show(made: Any) -> None:
    from reports.history.page import COLUMNS

    if made.gathered.dirty:
        say(f"{len(made.gathered.dirty)} runs with uncommitted changes are left out")
    if made.order:
        say(made.order, err=True)
    if not made.drawn:
        say("nothing to draw yet: a history takes two commits that were measured clean")
    if made.rows:
        table = Table(*COLUMNS)
        for row in made.rows:
            table.add_row(*row.cells)
        console(_WIDTH).print(table)
    say(
        f"{len(made.rows)} changes in {made.drawn} series over {len(made.gathered.measured_at)} "
        f"commits; {made.alone} series have one commit only\nhistory: {made.page}"
    )
