"""``marginbench quality list``: what there is to train on and with, and the claims."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_WIDTH = 120


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def list_command(as_json: bool) -> None:
    """List datasets (and why one is missing), losses, backbones, and claims with their criteria.

    A dataset is listed as present once it has been read, so the first time may take a minute.
    """
    from benchmarks.quality.listing import everything

    listing = everything()
    if as_json:
        click.echo(json.dumps(listing, indent=2, ensure_ascii=False))
        return
    console = Console()
    show(listing, console if console.is_terminal else Console(width=_WIDTH))


def show(listing: dict[str, Any], console: Console) -> None:
    """Prints what `benchmarks.quality.listing.everything` found, as tables."""
    table = Table("dataset", "", "recipe", title="Datasets")
    for dataset in listing["datasets"]:
        state = f"missing: {dataset['missing']}" if dataset["missing"] else "present"
        table.add_row(dataset["name"], state, dataset["why"])
    console.print(table)
    table = Table("loss", "trained by", "what it is", title="Losses")
    for loss in listing["losses"]:
        table.add_row(loss["name"], loss["variant"], loss["title"])
    console.print(table)
    console.print(f"backbones: {', '.join(listing['backbones'])}\n", highlight=False)
    table = Table("claim", "what the paper says", "criterion", title="Claims", show_lines=True)
    for claim in listing["claims"]:
        said = f"{claim['statement']} ({claim['source']})"
        table.add_row(f"{claim['number']}. {claim['name']}", said, claim["criterion"])
    console.print(table)
