"""``marginbench quality report``: draws a quality run's page from its records."""

from __future__ import annotations

from pathlib import Path

import click

from .. import progress
from ..messages import say
from ..paths import Folder, newest_quality_run


@click.command()
@click.argument("run_dir", required=False, type=Folder())
def report(run_dir: Path | None) -> None:
    """Redraw a quality run's page from its records.

    RUN_DIR is the run's folder, by default the newest run. Only the page and figures drawn before
    are replaced. A file of yours with one of their names, or a folder made by another command, is
    refused (exit code 2) and left untouched.

    \b
    Examples:
      marginbench quality report
      marginbench quality report reports/out/quality/RUN

    Exit codes: 0 drawn, 2 bad usage, or no run yet, 3 the record is missing or damaged.
    """
    from reports.quality.build import build

    folder = run_dir or newest_quality_run()
    with progress.shown("drawing the report"):
        page = build(folder, option="RUN_DIR")
    say(f"report: {page}")
