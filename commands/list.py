"""``marginbench list``: what there is to measure, read from declarations alone."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.table import Table

from .messages import console, say


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def list_command(as_json: bool) -> None:
    """List losses, variants, contenders and suites.

    A contender is an implementation of a loss. Reads declarations only: neither torch nor triton is
    imported.

    \b
    Examples:
      marginbench list
      marginbench list --json

    Exit codes: 0 listed, 2 bad usage.
    """
    from suites.listing import everything

    listing = everything()
    if as_json:
        say(json.dumps(listing, indent=2, ensure_ascii=False))
        return
    _show(listing)


def _show(listing: dict[str, Any]) -> None:
    shown_on = console()
    table = Table("loss", "variant", "contenders", "what it is", title="Losses")
    for loss in listing["losses"]:
        for variant in loss["variants"]:
            contenders = ", ".join(variant["contenders"])
            table.add_row(loss["name"], variant["name"], contenders, variant["summary"])
    shown_on.print(table)
    for failure in listing["failed"]:
        said = f"failed to import {failure['name']}: {failure['reason']}"
        shown_on.print(said, style="red", highlight=False)
    for kind in ("suites", "data", "presets"):
        table = Table("name", "what it measures", title=kind.capitalize())
        for name, summary in listing[kind].items():
            table.add_row(name, summary)
        shown_on.print(table)
