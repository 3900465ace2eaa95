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
    """Train with the losses, and test the papers' claims.

    \b
    Examples:
      marginbench quality run                       digits, every loss, every claim (minutes)
      marginbench quality run --full                glyphs and fashion, claims in full (long)
      marginbench quality run --claim triplet-mining
      marginbench quality run --resume reports/out/quality/RUN
      marginbench quality again RECORDS NAME        repeat one training, and compare
      marginbench quality ui                        MLflow's pages of the newest run

    Exit codes: see each command's --help; 2 is always bad usage.
    """


for _command in (
    again, export_command, import_command, list_command, publish, recipe_command, report, run,
    sync, ui,
):  # fmt: skip
    quality.add_command(_command)
