"""The commands that look at the machine and at the kernels and time nothing: ``doctor``, ``static``
and ``sanitize``.

Like the rest of the command line it imports the standard library, click and rich only; a command
imports what it needs when it runs.
"""

from __future__ import annotations

import json
import sys

import click
from rich.console import Console
from rich.table import Table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def doctor(as_json: bool) -> None:
    """Say what this machine can measure, and what it can't and why."""
    from .machine import doctor as examine

    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    console = Console()
    for title, entries in facts.items():
        table = Table("", "", title=title.replace("_", " "), show_header=False)
        for name, value in entries.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(name.replace("_", " "), shown)
        console.print(table)


@click.command()
@click.option("--pin", is_flag=True, help="Pin what is compiled now; shows what changes.")
@click.option("--target", "targets", multiple=True,
              type=click.Choice(["sm_80", "sm_90", "sm_100", "gfx942"]),
              help="Only this target; may be repeated.")  # fmt: skip
@click.option("--kernel", "kernels", multiple=True,
              help="Only kernels whose name contains this; may be repeated.")  # fmt: skip
def static(pin: bool, targets: tuple[str, ...], kernels: tuple[str, ...]) -> None:
    """Compile every Triton kernel for four GPUs, and compare with what is pinned.

    Exit codes: 0 as pinned, 1 not so or a rule is broken, 3 nothing is pinned to compare with.
    """
    from .static_command import run as check

    sys.exit(check(pin=pin, targets=targets, kernels=kernels))


@click.command()
@click.option("--only", default="", help="Only jobs whose name holds this; others count as missed.")
def sanitize(only: str) -> None:
    """Run every Triton kernel in a checked interpreter: no lane may leave its tensors."""
    from .sanitize import command

    sys.exit(command(only))


def register(group: click.Group) -> None:
    for command in (doctor, static, sanitize):
        group.add_command(command)
