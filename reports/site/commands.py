"""``marginbench publish`` and ``marginbench verify``: the command line, and no more than that."""

from __future__ import annotations

import sys
from pathlib import Path

import click

PUBLISHED = Path(__file__).resolve().parent.parent / "published"
NOT_POSSIBLE = 3
SHOWN = 20
Folder = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--records", type=Folder, default=PUBLISHED, show_default="reports/published",
              help="The folder of published folders.")  # fmt: skip
@click.option("--out", type=Folder, help="The site.  [default: site, beside the records]")
def publish(records: Path, out: Path | None) -> None:
    """Turn the committed records into a site of static pages.

    \b
    Each folder of --records is a run (records.jsonl.xz, and machine.json beside
    it), quality/NAME a run of training quality, gate-trust/NAME a gate's trial.
    The same records give the same bytes.

    \b
    Exit codes: 0 built, 1 a record is refused, 3 there is nothing to publish.
    """
    from .building import build
    from .sources import SITE, NothingPublished

    try:
        site = build(records, out or records / SITE)
    except NothingPublished as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(NOT_POSSIBLE)
    for name in site.left_out:
        click.echo(f"left out: {records / name} holds no records", err=True)
    name, size = site.largest
    click.echo(f"{site.pages} pages in {site.files} files; the largest, {name}, {size:,} bytes")
    click.echo(f"site: {site.root / 'index.html'}")


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
def verify(folders: tuple[Path, ...]) -> None:
    """Work every table and figure out again from the records: is it what is committed?

    FOLDERS are published folders (by default reports/published, all of it): a site, a run, a
    quality run or a gate's trial. Pages are built anew and compared byte by byte, but for the
    fields that the site's manifest declares.

    \b
    Exit codes:
      0  all is as the records say
      1  something differs: what, and where
      3  something could not be checked: a record is missing or refused
    """
    from .verifying import exit_code, verify

    found = verify(folders or (PUBLISHED,), lambda text: click.echo(text, err=True))
    for one in found:
        said = {"same": "as the records say", "differs": "DIFFERS", "not checked": "NOT CHECKED"}
        counted = f" ({one.files} files)" if one.files else ""
        reason = f": {one.reason}" if one.reason else ""
        click.echo(f"{one.path}: {one.kind}: {said[one.state]}{counted}{reason}")
        for finding in one.findings[:SHOWN]:
            click.echo(f"  {finding}")
        if len(one.findings) > SHOWN:
            click.echo(f"  and {len(one.findings) - SHOWN:,} more")
    sys.exit(exit_code(found))


def register(group: click.Group) -> None:
    group.add_command(publish)
    group.add_command(verify)
