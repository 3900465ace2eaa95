"""The cells of a case that have no figure, and rows as judged by a checker's final result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from marginbench import catalogue
from suites.cases import Case
from suites.gpu import CHECKERS, TILES, checked
from suites.presets import Preset

from ..instruments.rows import Row, not_run
from ..run.measurement import Measurement
from . import checkers, tiles
from .journal import NO_TIME
from .timing import GpuMeasurement


def rest(
    case: Case, preset: Preset, reason: str, reported: Collection[tuple[str, str]]
) -> list[Row]:
    """Every cell that is not among ``reported`` (contender and metric), with the reason."""
    if case.suite in CHECKERS:
        names = checked(catalogue.get(case.loss).variant(case.variant))
        metrics = (checkers.METRIC,)
        rows = [row for name in names for row in not_run(name, metrics, reason, checker=case.suite)]
    elif case.suite == TILES:
        rows = not_run(tiles.CONTENDER, (tiles.METRIC,), reason)
    else:
        kind = GpuMeasurement if case.suite == "speed" else Measurement
        rows = kind(case, preset).not_run(reason)
    return [row for row in rows if (row.contender, row.metric) not in reported]


def judged(row: Row, checker: str, found: checkers.Finding, control: str) -> Row:
    """The row with the checker's result. ``control``: empty if it found the planted error; a
    checker that missed it has shown nothing, so a row without an error does not pass."""
    how = {**row.protocol, "control": control or "found", **checkers.protocol(checker)}
    row = replace(row, protocol=how)
    if row.status == "not_run" and row.reason.startswith(NO_TIME):
        return row
    if found.errors is None:
        reason = row.reason or found.sentence
        return replace(row, status="not_run", value=None, reason=reason)
    if found.errors:
        return replace(row, status="worse", value=found.errors, reason=found.sentence)
    if control and row.status == "ok" and checker in checkers.PLANTED:
        return replace(row, status="not_run", value=None, reason=control)
    return row
