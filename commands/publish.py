"""``marginbench publish``: the site of what is published."""

from __future__ import annotations

from pathlib import Path

import click

from . import progress
from .endings import fail
from .messages import say
from .paths import PUBLISHED, Folder


@click.command()
@click.option("--records", type=Folder(), default=PUBLISHED,
              help="The folder of what is published.  [default: reports/published]")  # fmt: skip
@click.option("--out", type=Folder(), help="A new or empty folder, or an earlier site, which is "
              "replaced as a whole.  [default: site, beside the records]")  # fmt: skip
def publish(records: Path, out: Path | None) -> None:
    """Build a site of static pages from the committed records.

    In the folder --records, NAME is a run (records.jsonl.xz, with machine.json beside it),
    quality/NAME a quality run, and gate-trust/NAME a trial of the gate. The same records give the
    same bytes. Beside its records the site links to them; anywhere else it holds copies in data/,
    so that it can be moved and verified alone.

    \b
    Examples:
      marginbench publish
      marginbench publish --records PUBLISHED --out SITE

    \b
    Exit codes:
      0  built
      2  bad usage, or --out holds something other than a site (left untouched)
      3  there is nothing to publish, a record is refused, or the site can't be written
    """
    from reports.site.building import build
    from reports.site.sources import SITE, NothingPublished

    try:
        with progress.shown() as report:
            site = build(records, out or records / SITE, report)
    except NothingPublished as error:
        fail(str(error))
    for name in site.left_out:
        say(f"left out: {records / name} holds no records", err=True)
    name, size = site.largest
    say(f"{site.pages} pages in {site.files} files; the largest, {name}, {size:,} bytes")
    say(f"site: {site.root / 'index.html'}")
