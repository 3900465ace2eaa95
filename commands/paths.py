"""Where runs go and are found, and a folder as a parameter of a command."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.record_files import FILE
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


def newest(parent: Path) -> Path | None:
    """The newest run's folder there; None where there is no run."""
    return max((path.parent for path in parent.glob(f"*/{FILE}")), default=None)


def newest_quality_run() -> Path:
    """The newest quality run's folder; a usage error where there is none."""
    found = newest(QUALITY_RUNS)
    if found is None:
        raise click.UsageError(
            f"expected a run under {QUALITY_RUNS}; there is none yet: marginbench quality run"
        )
    return found
