"""Where runs go and are found, and a folder as a parameter of a command."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.records.record_files import FILE, head
from reports.paths import PUBLISHED, ROOT

RUNS = ROOT / "reports" / "out"
QUALITY_RUNS = RUNS / "quality"
# Where stored runs are looked for.
STORES = (RUNS, PUBLISHED)


class Folder(click.Path):
    """A folder that a command writes into or goes on with; an empty path is a mistake, and not the
    current folder, whose path is a full stop."""

    def __init__(self, *, exists: bool = False) -> None:
        super().__init__(path_type=Path, file_okay=False, exists=exists)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("expected a folder; got an empty path (the current folder is .)", param, ctx)
        return super().convert(value, param, ctx)


def new_folder(parent: Path = RUNS, *, before: str = "", after: str = "") -> Path:
    """The default folder of a run: named after the time."""
    return parent / f"{before}{time.strftime('%Y-%m-%d-%H%M%S')}{after}"


def runs(parent: Path) -> list[Path]:
    """The folders of runs there, the newest last. By the time that a record begins with, for a
    name is anyone's choice, or a local time, which goes back an hour each autumn."""
    found = [path.parent for path in parent.glob(f"*/{FILE}")]
    return sorted(found, key=lambda run: (str(head(run / FILE).get("started_at", "")), run.name))


def newest(parent: Path = RUNS, command: str = "marginbench run") -> Path:
    """The newest run's folder; a usage error, which names the command that makes one, where there
    is none."""
    if found := runs(parent):
        return found[-1]
    raise click.UsageError(f"RUN_DIR: expected a run under {parent}; there is none yet: {command}")


def newest_quality_run() -> Path:
    """`newest`, of quality runs."""
    return newest(QUALITY_RUNS, "marginbench quality run")
