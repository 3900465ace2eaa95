"""``marginbench report``: draws a run's pages from its records."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks import folders

from . import progress
from .messages import NOT_POSSIBLE, fail
from .paths import RUNS, Folder, newest


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

    Exit codes: 0 drawn, 1 there is no run, or its record is damaged, 2 bad usage, 3 --pdf found no
    browser to print with.
    """
    from reports import pdf
    from reports.build import build, kind_of

    run_dir = run_dir or newest(RUNS)
    if run_dir is None:
        fail(f"RUN_DIR: expected a run under {RUNS}; there is none yet: marginbench run")
    also = (pdf.FILE,) if as_pdf else ()
    with progress.shown("reading the records") as shown:
        page = build(run_dir, option="RUN_DIR", also=also, report=shown)
    click.echo(f"report: {page}")
    if not as_pdf:
        return
    try:
        with progress.shown("printing the PDF"):
            content = pdf.printed(page)
    except pdf.NoPdf as error:
        fail(str(error), NOT_POSSIBLE)
    folders.make(run_dir, kind_of(run_dir), "RUN_DIR").write({pdf.FILE: content})
    made = run_dir / pdf.FILE
    click.echo(f"PDF:    {made} ({made.stat().st_size / 2**20:.1f} MiB)")
