"""``marginbench quality``: the group of its commands."""

from __future__ import annotations

import click

from ..usage import OneLineUsage
from .again import again
from .export import export_command
from .import_ import import_command
from .list import list_command
from .publish import publish
from .recipe import recipe_command
from .report import report
from .run import run
from .sync import sync
from .ui import ui


@click.group(cls=OneLineUsage)
def quality() -> None:
    """Train with the losses, and test what the papers claim.

    \b
    marginbench quality run                       digits, every loss, every claim (minutes)
    marginbench quality run --full                glyphs and fashion, claims in full (long)
    marginbench quality run --claim triplet-mining
    marginbench quality run --resume reports/out/quality/RUN
    marginbench quality again RECORDS NAME        train one row again, and compare
    marginbench quality ui                        MLflow's pages on the newest run

    Exit codes: those of each command, in its --help; 2 is bad usage everywhere.
    """


for _command in (
    again, export_command, import_command, list_command, publish, recipe_command, report, run,
    sync, ui,
):  # fmt: skip
    quality.add_command(_command)
