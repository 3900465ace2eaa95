"""Compares what is measured with what is pinned, or pins it. Imports neither torch nor triton.

Exit codes: 0 as pinned; 1 a figure drifted in either direction, is new, or breaks a bound; 3 could
not be measured. If both, 1.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import pins, static_check
from . import growth, measuring
from .rows import (
    TIMED,
    ExactDifference,
    ExactRow,
    by_key,
    differences,
    measured,
    path_for,
    read,
    text,
    write,
)

SAME, DIFFERS, UNCHECKED = 0, 1, 3
REPIN = "marginbench gate --exact --pin"
REMOVED = "removed in this change"
UNMEASURED, BROKEN = "not measured", "bound"


@dataclass(frozen=True)
class ExactOutcome:
    """``code`` as in this module's docstring. ``differences``: from what is pinned; while pinning,
    the changes of the pins. ``broken``: bounds that are exceeded, which pinning does not fix.
    ``unmeasured``: pinned or expected, without a figure. ``repinned``: the base's pins against this
    tree's, for information. ``rows``: what was measured; ``compiled``: how many compiled kernels
    were compared with their own pins. ``problems``: why nothing could be compared, a sentence
    each."""

    code: int
    differences: list[ExactDifference] = field(default_factory=list)
    broken: list[ExactDifference] = field(default_factory=list)
    unmeasured: list[ExactDifference] = field(default_factory=list)
    repinned: list[ExactDifference] = field(default_factory=list)
    rows: list[ExactRow] = field(default_factory=list)
    compiled: int = 0
    problems: list[str] = field(default_factory=list)


def check(
    *,
    pin: bool,
    base_pins: Path | None = None,
    folder: Path = pins.FOLDER,
    package: str = "marginbench",
    losses: Sequence[str] | None = None,
    static: bool = True,
    report: measuring.Report = measuring._silent,
) -> ExactOutcome:
    """Measure ``package`` and compare with the pins in ``folder``, or pin them there.

    ``base_pins`` is the same folder of the tree that this one is compared with: what differs
    between the two was pinned again in this change. ``losses`` narrows what is measured, compared
    and pinned; ``static`` also compares the compiled kernels with their own pins, which takes
    minutes if they are not cached. Nothing is pinned if any figure is missing.
    """
    version = _version()
    if version is None:
        return ExactOutcome(UNCHECKED, problems=["not checked: torch isn't installed"])
    path = path_for(version, folder)
    problems: list[str] = []
    try:
        pinned = read(path) if path.is_file() else []
        base = _base(base_pins, version)
    except (pins.PinError, OSError) as error:
        return ExactOutcome(UNCHECKED, problems=[f"not checked: {error}"])
    if not pin and not by_key(pinned):
        problems.append(_nothing_pinned(version, folder))
    if base_pins is not None and base is None:
        problems.append(f"the base has nothing pinned for torch {version}: all is new here")
    if not pin and not by_key(pinned):
        return ExactOutcome(UNCHECKED, problems=problems)

    rows = measuring.measure(package, report, losses=losses)
    before = [row for row in pinned if _chosen(row, losses)]
    unmeasured = _unmeasured(before, rows, pin=pin)
    if not rows:
        problems.append("not checked: nothing was selected, so nothing was measured")
    code = UNCHECKED if unmeasured or not rows else SAME
    broken = _broken(rows)
    found = _drift(before, rows, pin=pin)
    if broken or (found and not pin):
        code = DIFFERS
    if pin and not unmeasured and rows:
        kept = [row for row in pinned if row.metric == TIMED or not _chosen(row, losses)]
        write(path, [*kept, *rows])
        pinned = [*kept, *rows]
    elif pin:
        problems.append("nothing was pinned: some figures are missing")
    repinned = [] if base is None else differences(base, pinned, gone=REMOVED)
    outcome = ExactOutcome(code, found, broken, unmeasured, repinned, rows, 0, problems)
    return _with_static(outcome, pin, base_pins, folder, report) if static else outcome


def _version() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return None
    return importlib.metadata.version("torch")


def _base(folder: Path | None, version: str) -> list[ExactRow] | None:
    path = path_for(version, folder) if folder else None
    return read(path) if path and path.is_file() else None


def _nothing_pinned(version: str, folder: Path) -> str:
    there = ", ".join(sorted(path.stem for path in folder.glob("exact-*.jsonl"))) or "none"
    return (
        f"not checked: nothing is pinned for torch {version} (pinned: {there}); "
        f"pin what is measured now with: {REPIN}"
    )


def _chosen(row: ExactRow, losses: Sequence[str] | None) -> bool:
    return losses is None or row.case.split("/")[1] in losses


def _unmeasured(
    pinned: Sequence[ExactRow], now: Sequence[ExactRow], *, pin: bool
) -> list[ExactDifference]:
    """Rows without a figure, and rows of the inventory that are gone, unless it is pinned anew."""
    before, after = by_key(pinned), by_key(now)
    found = [
        ExactDifference(*row.key, text(was.value) if was else "-", UNMEASURED, row.reason)
        for row in now
        if not measured(row)
        for was in [before.get(row.key)]
    ]
    if not pin:
        reason = f"pinned, but gone; if that is intended: {REPIN}"
        found += [
            ExactDifference(*key, text(row.value), UNMEASURED, reason)
            for key, row in before.items()
            if key not in after
        ]
    return found


def _drift(
    pinned: Sequence[ExactRow], now: Sequence[ExactRow], *, pin: bool
) -> list[ExactDifference]:
    """Differences between figures; `_unmeasured` reports the missing ones."""
    after = by_key(now)
    known = [row for row in pinned if pin or row.key in after]
    without = {row.key for row in now if not measured(row)}
    return [
        one
        for one in differences(known, now)
        if (one.case, one.contender, one.metric) not in without
    ]


def _broken(rows: Sequence[ExactRow]) -> list[ExactDifference]:
    """What is never allowed, pinned or not: a wrong contender, memory that grows too fast."""
    found = []
    for row in rows:
        if row.metric == measuring.AGREEMENT and row.value == "worse":
            found.append(ExactDifference(*row.key, text("ok"), text(row.value), row.reason))
        share = row.value if row.metric == growth.METRIC else None
        if isinstance(share, int | float) and share > growth.BOUND:
            reason = "memory grows with a matrix that is not to be kept"
            limit = f"at most {growth.BOUND:.4g}"
            found.append(ExactDifference(*row.key, limit, text(share), reason))
    return found


def _with_static(
    outcome: ExactOutcome, pin: bool, base_pins: Path | None, folder: Path, report: measuring.Report
) -> ExactOutcome:
    """The same with the compiled kernels' registers, spills, shared memory and code beside it."""
    found = static_check.examine(pin=pin and not outcome.unmeasured, folder=folder, report=report)
    repinned = list(outcome.repinned)
    problems = [*outcome.problems, *filter(None, [found.problem])]
    damaged = False
    if base_pins is not None and found.path is not None:
        base = base_pins / found.path.name
        try:
            if not base.is_file():
                problems.append(f"the base has nothing pinned in {base.name}: all is new here")
            elif found.path.is_file():
                before, after = pins.read(base), pins.read(found.path)
                changed = pins.differences(pins.renamed(before, after), after)
                repinned += map(_of_static, changed)
        except (pins.PinError, OSError) as error:
            problems.append(f"not checked: the base's pins: {error}")
            damaged = True
    gone = [] if pin else [one for one in found.differences if one.now == "gone"]
    drift = [one for one in found.differences if one not in gone]
    compared = DIFFERS if found.broken or (drift and not pin) else SAME
    if compared == SAME and (gone or damaged or found.problem or not found.compiled):
        compared = UNCHECKED
    codes = {outcome.code, compared}
    code = next((one for one in (DIFFERS, UNCHECKED) if one in codes), SAME)
    return ExactOutcome(
        code,
        [*outcome.differences, *map(_of_static, drift)],
        [*outcome.broken, *map(_of_static, found.broken)],
        [*outcome.unmeasured, *map(_of_static, gone)],
        repinned,
        outcome.rows,
        found.compiled,
        problems,
    )


def _of_static(one: pins.Difference) -> ExactDifference:
    case = f"static/{one.kernel}/{pins.short(one.arguments)}/{one.target}"
    return ExactDifference(case, "triton", one.metric or "row", one.pinned[:40], one.now[:80])
