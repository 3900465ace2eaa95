"""A gate's outcome as a table: in a terminal, and without colour in a file."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.gate.records import GateVerdict

from . import words
from .reading import GateRun

COLOURS = {
    "SLOWER": "bold red",
    "WRONG": "bold red",
    "INCONCLUSIVE": "yellow",
    "NOT MEASURED": "yellow",
    "FASTER": "green",
    "EQUIVALENT": "dim",
}
_OUTCOME_COLOURS = {0: "bold green", 1: "bold red"}
# Reasons are sentences: in a narrower terminal they stand below the table.
_WIDE = 150
_FILE_WIDTH = 200


def show(run: GateRun, console: Console) -> None:
    """Raises RecordError for a gate that was killed. Where ``console`` is no terminal, what is
    printed does not depend on how wide it is taken to be."""
    if not console.is_terminal:
        console = Console(file=console.file, width=max(console.width, _FILE_WIDTH))
    rows, wide = run.rows(), console.width >= _WIDE
    sentence = words.sentence(run)
    if rows:
        console.print(_table(rows, wide))
    for row in [] if wide else rows:
        if row.verdict not in ("EQUIVALENT", "FASTER"):
            _say(console, f"- {words.plain(row.case)}: {words.plain(row.reason)}")
    if run.start.planted:
        _say(console, f"Planted in the candidate on purpose: {words.plain(run.start.planted)}.")
    _say(console, words.exact(run))
    for difference in run.exact.differences if run.exact else []:
        # The dash as well keeps GitHub from taking a line of its log for a command (::name::).
        _say(console, f"- {words.plain(difference)}", "red" if run.exact and run.exact.code else "")
    for repinned in run.exact.repinned if run.exact else []:
        _say(console, f"- pinned again in this change: {words.plain(repinned)}")
    if run.exact and run.exact.left_out:
        _say(console, f"- {words.plain(run.exact.left_out)}")
    for one in (*words.unpaired(run), *words.unchanged(run)):
        _say(console, f"- {one}")
    _say(console, f"Compared: {words.commits(run.start)}.")
    _say(console, sentence, _OUTCOME_COLOURS.get(run.exit_code, "bold yellow"))


def text(run: GateRun) -> str:
    """The same as ``show`` prints, for a file."""
    stream = io.StringIO()
    show(run, Console(file=stream, width=_FILE_WIDTH, force_terminal=False))
    # rich fills table rows with spaces up to the width.
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _table(rows: list[GateVerdict], wide: bool) -> Table:
    table = Table()
    table.add_column("case", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("candidate / base [95%]", no_wrap=wide)
    table.add_column("base → candidate, a call", no_wrap=wide)
    table.add_column("detectable slow-down", justify="right")
    if wide:
        table.add_column("reason", overflow="fold", ratio=1)
    for row in rows:
        cells = [
            Text(words.plain(row.case)),
            Text(row.verdict, style=COLOURS[row.verdict]),
            Text(words.ratio(row)),
            Text(words.times(row)),
            Text(words.detectable(row)),
        ]
        table.add_row(*cells, *([Text(words.plain(row.reason))] if wide else []))
    return table


def _say(console: Console, line: str, style: str = "") -> None:
    # As Text: square brackets in a foreign name are no markup. Soft: a log wraps by itself.
    console.print(Text(line, style=style), soft_wrap=True)
