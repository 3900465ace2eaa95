"""``marginbench verify``: whether what is published is what its records say."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import progress
from .messages import say
from .paths import PUBLISHED

# At most this many differences of a folder are shown; the total always is.
_SHOWN = 20


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
def verify(folders: tuple[Path, ...]) -> None:
    """Check every published table and figure against the records.

    FOLDERS are published folders, by default all of reports/published: a site, a run, a quality run
    or a trial of the gate. Their pages are built anew and compared byte by byte, except for the
    fields that the site's manifest declares to vary. Records without pages of their own are read
    whole: the site beside them has to be built from them.

    \b
    Examples:
      marginbench verify
      marginbench verify reports/published/site

    \b
    Exit codes:
      0  everything matches the records
      1  something differs; it says what and where
      2  bad usage
      3  something could not be checked: a record is missing or refused, no page shows it, or
         a disk is full
    """
    from reports.site.verifying import exit_code, verify

    with progress.shown() as report:
        found = verify(folders or (PUBLISHED,), report)
    for one in found:
        said = {"same": "as the records say", "differs": "DIFFERS", "not checked": "NOT CHECKED"}
        counted = f" ({one.files} files)" if one.files else ""
        reason = f": {one.reason}" if one.reason else ""
        say(f"{one.path}: {one.kind}: {said[one.state]}{counted}{reason}")
        for finding in one.findings[:_SHOWN]:
            say(f"  {finding}")
        if len(one.findings) > _SHOWN:
            say(f"  and {len(one.findings) - _SHOWN:,} more")
    sys.exit(exit_code(found))
