"""``marginbench quality list``: what there is to train on and with, and the claims."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.table import Table

from ..messages import console, say

# How wide tables are in a log.
_WIDTH = 120


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def list_command(as_json: bool) -> None:
    """List datasets, losses, backbones, and claims with their criteria.

    For a missing dataset it says why. Each dataset is read once, so the first time may take a
    minute.

    \b
    Examples:
      marginbench quality list
      marginbench quality list --json

    Exit codes: 0 listed, 2 bad usage.
    """
    from benchmarks.training.listing import everything

    listing = everything()
    if as_json:
        say(json.dumps(listing, indent=2, ensure_ascii=False))
        return
    _show(listing)


def _show(listing: dict[str, Any]) -> None:
    shown_on = console(_WIDTH)
    table = Table("dataset", "", "recipe", title="Datasets")
    for dataset in listing["datasets"]:
        state = f"missing: {dataset['missing']}" if dataset["missing"] else "present"
        table.add_row(dataset["name"], state, dataset["why"])
    shown_on.print(table)
    table = Table("loss", "trained by", "what it is", title="Losses")
    for loss in listing["losses"]:
        table.add_row(loss["name"], loss["variant"], loss["title"])
    shown_on.print(table)
    shown_on.print(f"backbones: {', '.join(listing['backbones'])}\n", highlight=False)
    table = Table("claim", "what the paper says", "criterion", title="Claims", show_lines=True)
    for claim in listing["claims"]:
        said = f"{claim['statement']} ({claim['source']})"
        table.add_row(f"{claim['number']}. {claim['name']}", said, claim["criterion"])
    shown_on.print(table)
