"""The data behind a figure as JSON, with all raw rounds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.instruments.metrics import METRICS

from ..agreement import quantity
from ..document import Figure
from ..reading import Measured

SCHEMA_VERSION = 1
READ_ME = (
    "columns and rows are the table behind the figure, as the page shows it; cases are the "
    "records that it was drawn from: each result that ran, with its value and its raw rounds in "
    "the order taken, in the metric's unit. Round k of two contenders of a case ran back to back. "
    "The page named as record has the command that measures a case again, and why a result was "
    "not run."
)


def data(figure: Figure, cases: Mapping[str, Measured], records: Mapping[str, str]) -> str:
    """``records``: by case id where on the site its record lies."""
    whole = {
        "schema_version": SCHEMA_VERSION,
        "about": READ_ME,
        "figure": figure.name,
        "title": figure.title,
        "shows": figure.alt,
        "metrics": {name: _metric(name) for name in figure.metrics},
        "columns": list(figure.data.columns),
        "rows": [[cell.text for cell in row] for row in figure.data.rows],
        "cases": [
            _case(cases[name], figure, records.get(name, ""))
            for name in figure.cases
            if name in cases
        ],
    }
    return "\n".join(_lines(whole)) + "\n"


def _lines(whole: Mapping[str, Any]) -> Iterator[str]:
    """A line for each row and case, so that a difference is found by its line."""
    yield "{"
    entries = list(whole.items())
    for number, (key, value) in enumerate(entries, start=1):
        comma = "," if number < len(entries) else ""
        if key in ("rows", "cases") and value:
            yield f"{json.dumps(key)}: ["
            ends = [","] * (len(value) - 1) + [""]
            yield from (f"{_dumped(one)}{end}" for one, end in zip(value, ends, strict=True))
            yield f"]{comma}"
        else:
            yield f"{json.dumps(key)}: {_dumped(value)}{comma}"
    yield "}"


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _metric(name: str) -> dict[str, str]:
    known = METRICS.get(name)
    return {"unit": known.unit, "what": known.summary, "better": known.better} if known else {}


def _case(measured: Measured, figure: Figure, record: str) -> dict[str, Any]:
    kept = measured.results.where(metric=figure.metrics).but(status="not_run")
    if figure.quantities:
        kept = kept.where(lambda one: quantity(one) in figure.quantities)
    return {
        "case": measured.case.id,
        "record": record,
        "results": [
            {
                "contender": one.contender,
                "metric": one.metric,
                **({"of": one.of} if one.of else {}),
                "status": one.status,
                **({"reason": one.reason} if one.reason else {}),
                "value": one.value,
                **({"rounds": one.rounds} if one.rounds else {}),
            }
            for one in kept
        ],
    }
