"""``marginbench doctor``: looks at the machine, and times nothing."""

from __future__ import annotations

import json

import click
from rich.table import Table

from . import progress
from .messages import console, say


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def doctor(as_json: bool) -> None:
    """Say what this machine can measure, and what it can't and why.

    \b
    Examples:
      marginbench doctor
      marginbench doctor --json

    Nothing is timed.

    Exit codes: 0 whatever it finds, 2 bad usage.
    """
    from benchmarks.instruments.machine import doctor as examine

    if as_json:
        say(json.dumps(examine(), indent=2, ensure_ascii=False))
        return
    with progress.shown("looking at the machine"):
        facts = examine()
    shown_on = console()
    for title, entries in facts.items():
        table = Table("", "", title=title.replace("_", " "), show_header=False)
        for name, value in entries.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(name.replace("_", " "), shown)
        shown_on.print(table)
