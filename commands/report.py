"""``marginbench report``: draws a run's pages from its records."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.records import folders

from . import progress
from .endings import fail
from .messages import say
from .paths import Folder, newest


@click.command()
@click.argument("run_dir", required=False, type=Folder())
@click.option("--pdf", "as_pdf", is_flag=True, help="Also write report.pdf; needs Chromium.")
def report(run_dir: Path | None, as_pdf: bool) -> None:
    """Redraw a run's report from its records.

    RUN_DIR is the run's folder, by default the newest run. Only pages and figures of an earlier
    report are replaced. A file of yours with one of their names, or a folder made by another
    command, is refused (exit code 2) and left untouched.

    \b
    Examples:
      marginbench report
      marginbench report reports/out/RUN --pdf

    Exit codes: 0 drawn, 2 bad usage, or no run yet, 3 the record is missing or damaged, the page
    can't be written, or --pdf found no browser to print with.
    """
    from reports import pdf
    from reports.build import build, kind_of

    run_dir = run_dir or newest()
    also = (pdf.FILE,) if as_pdf else ()
    with progress.shown("reading the records") as shown:
        page = build(run_dir, option="RUN_DIR", also=also, report=shown)
    say(f"report: {page}")
    if not as_pdf:
        return
    try:
        with progress.shown("printing the PDF"):
            content = pdf.printed(page)
    except pdf.NoPdf as error:
        fail(str(error))
    folders.make(run_dir, kind_of(run_dir), "RUN_DIR").write({pdf.FILE: content})
    made = run_dir / pdf.FILE
    say(f"PDF:    {made} ({made.stat().st_size / 2**20:.1f} MiB)")
