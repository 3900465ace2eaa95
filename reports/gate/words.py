"""The gate's figures and foreign text as every form of its outcome shows them."""

from __future__ import annotations

from benchmarks.gate.records import GateStart, GateVerdict

from .. import units
from .reading import GateRun


def plain(text: str) -> str:
    """Foreign text on one line, with nothing in it that a terminal or a parser acts upon: what
    moves a cursor, turns text round or is forbidden in XML is not printable to Python either."""
    spaced = " ".join(text.split())
    if spaced.isprintable():
        return spaced
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in spaced)


def ratio(row: GateVerdict) -> str:
    """'1.0312 [1.0250, 1.0374]'; the interval is left out where there is none."""
    if row.ratio is None:
        return units.NOTHING
    if row.low is None or row.high is None:
        return f"{row.ratio:.4f} (no interval)"
    return f"{row.ratio:.4f} [{row.low:.4f}, {row.high:.4f}]"


def times(row: GateVerdict) -> str:
    """A call's time in the base and in the candidate."""
    return f"{units.time(row.base_s)} → {units.time(row.candidate_s)}"


def detectable(row: GateVerdict) -> str:
    return units.NOTHING if row.detectable is None else f"{row.detectable:.1%}"


def sentence(run: GateRun) -> str:
    """'Regression (exit code 1): 2 SLOWER.'"""
    outcome = plain(run.ended.outcome).rstrip(".")
    return f"{run.meaning.capitalize()} (exit code {run.exit_code}): {outcome}."


def commits(start: GateStart) -> str:
    candidate = plain(start.candidate_commit) + (" with uncommitted changes" if start.dirty else "")
    return f"base {plain(start.base_commit)}, candidate {candidate}"


def unpaired(run: GateRun) -> list[str]:
    """Timed cases that only one side has, a sentence each."""
    return [
        f"not compared, for {side} alone has it: {plain(case)}"
        for side, _, case in (one.partition(": ") for one in run.start.unpaired)
    ]


def unchanged(run: GateRun) -> list[str]:
    """Losses that were not timed, a sentence each."""
    since = f"not timed: unchanged since {plain(run.start.base_commit)[:12]}"
    return [f"{plain(loss)}: {since}" for loss in run.start.unchanged]


def exact(run: GateRun) -> str:
    """The exact half in a sentence."""
    if run.exact is None:
        return "The exact half was not asked for."
    rows, found = units.plural(run.exact.rows, "exact figure"), len(run.exact.differences)
    if run.exact.code == 0:
        return f"{rows} as pinned."
    if run.exact.code == 1:
        return f"{rows} measured: {units.plural(found, 'difference')} from what is pinned."
    return f"The exact half could not be measured in full ({rows}; code {run.exact.code})."
