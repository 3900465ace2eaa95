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

from marginbench import catalogue

from ...instruments.machine import ROOT
from .. import pin_files, pins, static_check
from ..pin_files import EXACT, Pin, PinError
from . import growth, measuring
from .rows import (
    ExactDifference,
    ExactRow,
    by_key,
    differences,
    is_of,
    measured,
    pin_of,
    row_of,
    text,
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
    each. ``left_out``: which kernels were not compiled, or nothing."""

    code: int
    differences: list[ExactDifference] = field(default_factory=list)
    broken: list[ExactDifference] = field(default_factory=list)
    unmeasured: list[ExactDifference] = field(default_factory=list)
    repinned: list[ExactDifference] = field(default_factory=list)
    rows: list[ExactRow] = field(default_factory=list)
    compiled: int = 0
    problems: list[str] = field(default_factory=list)
    left_out: str = ""


def check(
    *,
    pin: bool,
    base: Path | None = None,
    tree: Path = ROOT,
    package: str = "marginbench",
    losses: Sequence[str] | None = None,
    static: bool = True,
    whole: bool = False,
    report: measuring.Report = measuring._silent,
) -> ExactOutcome:
    """Measure ``package`` and compare with the pins of ``tree``, or pin them there.

    ``base`` is the tree that this one is compared with: where the pins of the two differ, something
    was pinned again in this change. ``losses`` narrows what is measured, compared and pinned;
    ``static`` also compares the compiled kernels with their own pins, which takes minutes if they
    are not cached; ``whole``: for every target and dtype, as pinning always does. Nothing is pinned
    if any figure is missing.
    """
    version = _version()
    if version is None:
        return ExactOutcome(UNCHECKED, problems=["not checked: torch isn't installed"])
    problems: list[str] = []
    try:
        every = pin_files.read(tree)
        pinned = _rows(every, version)
    except (PinError, OSError) as error:
        return ExactOutcome(UNCHECKED, problems=[f"not checked: {error}"])
    try:
        of_base = [] if base is None else pin_files.read(base)
        before_change = _rows(of_base, version)
    except (PinError, OSError) as error:
        return ExactOutcome(UNCHECKED, problems=[f"not checked: the base's pins: {error}"])
    if base is not None and not before_change:
        problems.append(f"the base has nothing pinned for {version}: all is new here")
    if not pin and not pinned:
        there = pin_files.versions(every, EXACT)
        return ExactOutcome(UNCHECKED, problems=[
            f"not checked: nothing is pinned for {version} (pinned: {there}); "
            f"pin what is measured now with: {REPIN}", *problems,
        ])  # fmt: skip

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
        kept = [one for one in every
                if not (is_of(one, version) and _chosen(row_of(one), losses))]  # fmt: skip
        every = [*kept, *(pin_of(row, version) for row in rows)]
        pin_files.write(every, tree)
        pinned = [*(row for row in pinned if not _chosen(row, losses)), *rows]
    elif pin:
        problems.append("nothing was pinned: some figures are missing")
    repinned = differences(before_change, pinned, gone=REMOVED) if before_change else []
    outcome = ExactOutcome(code, found, broken, unmeasured, repinned, rows, 0, problems)
    if not static or not _has_kernels(losses):
        return outcome
    examined = static_check.examine(
        pin=pin and not outcome.unmeasured, tree=tree, every=every, losses=losses or (),
        whole=whole, report=report,
    )  # fmt: skip
    if base is None:
        return _with_static(outcome, examined, pin)
    after = pin_files.read(tree) if pin else every
    return _with_static(outcome, examined, pin, (of_base, after))


def _version() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return None
    return pin_files.version_of("torch", importlib.metadata.version("torch"))


def _rows(found: Sequence[Pin], version: str) -> list[ExactRow]:
    return [row_of(one) for one in found if is_of(one, version)]


def _chosen(row: ExactRow, losses: Sequence[str] | None) -> bool:
    return losses is None or row.loss in losses


def _has_kernels(losses: Sequence[str] | None) -> bool:
    """Whether any of these losses has a fused kernel to compile."""
    return losses is None or any(
        "triton" in contender.needs
        for loss in losses
        for variant in catalogue.get(loss).variants
        for contender in variant.contenders
    )


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
    outcome: ExactOutcome,
    found: static_check.Examined,
    pin: bool,
    both: tuple[Sequence[Pin], Sequence[Pin]] | None = None,
) -> ExactOutcome:
    """The same with the compiled kernels' registers, spills, shared memory and code beside it.
    ``both``: the pins of the base and of this tree, where the two are compared."""
    repinned = list(outcome.repinned)
    problems = [*outcome.problems, *filter(None, [found.problem])]
    if both is not None and found.version:
        before, after = (
            pins.once(pins.row_of(one) for one in every if pins.is_of(one, found.version))
            for every in both
        )
        if not before:
            problems.append(f"the base has nothing pinned for {found.version}: all is new here")
        else:
            changed = pins.differences(pins.renamed(before, after), after)
            repinned += map(_of_static, changed)
    gone = [] if pin else [one for one in found.differences if one.now == "gone"]
    drift = [one for one in found.differences if one not in gone]
    compared = DIFFERS if found.broken or (drift and not pin) else SAME
    if compared == SAME and (gone or found.problem or not found.compiled):
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
        found.left_out,
    )


def _of_static(one: pins.Difference) -> ExactDifference:
    case = f"static/{one.kernel}/{pins.short(one.arguments)}/{one.target}"
    return ExactDifference(case, "triton", one.metric or "row", one.pinned[:40], one.now[:80])
