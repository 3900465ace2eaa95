"""A gate's times as github-action-benchmark reads them with ``tool: customSmallerIsBetter``.

That is a list of objects with ``name``, ``unit``, ``value`` (a number), and as text ``range`` and
``extra`` (https://github.com/benchmark-action/github-action-benchmark, "Custom benchmarks"). It
compares an entry with that of the same name from an earlier commit, so a name holds nothing that
changes from run to run.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.gate.records import GateVerdict

from .. import units
from . import words
from .reading import GateRun


def render(run: GateRun) -> str:
    """Two entries for each case that has a time: the candidate's microseconds a call, and its ratio
    to the base. A case without one has none; nor has one that is WRONG, whose time is no figure of
    what was asked for. Raises RecordError for a gate that was killed."""
    _ = run.ended
    entries: list[dict[str, Any]] = []
    for row in run.verdicts:
        if row.verdict != "WRONG":
            entries += _entries(run, row)
    return json.dumps(entries, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _entries(run: GateRun, row: GateVerdict) -> list[dict[str, Any]]:
    name, extra = words.plain(row.case), _extra(run, row)
    found = []
    if row.candidate_s is not None:
        entry = {"name": name, "unit": "µs", "value": row.candidate_s * 1e6, "extra": extra}
        spread = run.spread_s(row.case)
        if spread is not None:
            entry["range"] = f"± {units.digits3(spread * 1e6)}"
        found.append(entry)
    if row.ratio is not None:
        entry = {"name": f"{name} (candidate / base)", "unit": "ratio", "value": row.ratio,
                 "extra": extra}  # fmt: skip
        if row.low is not None and row.high is not None:
            entry["range"] = f"{row.low:.4f} to {row.high:.4f}"
        found.append(entry)
    return found


def _extra(run: GateRun, row: GateVerdict) -> str:
    lines = (
        f"{row.verdict}: {row.reason}",
        f"a call: {words.times(row)}",
        words.commits(run.start),
    )
    return "\n".join(words.plain(line) for line in lines)
