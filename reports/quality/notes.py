"""Sentences beside a table of losses that its figures can't be read without, out of the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from marginbench import catalogue

from .. import units
from .reading import Group

WAIT = "data_wait_share"
# Where waiting would begin to decide how long a training takes.
_SELDOM = 0.05


def schedules(found: Sequence[Group]) -> list[str]:
    """Of each arm whose options change while it is trained: from what to what, and what that
    amounts to. An arm is named after its margin, however little of it the schedule left."""
    said = []
    for group in found:
        run = group.first
        for term in _terms(run.settings) if run else ():
            first, last = term.get("options_first", {}), term.get("options_last", {})
            moved = [
                f"{name} from {units.digits3(first[name])} at the first step to "
                f"{units.digits3(last[name])} at the last"
                for name in last
                if name in first and first[name] != last[name]
            ]
            if moved:
                came_to = _came_to(str(term.get("loss")), last)
                said.append(
                    f"{group.label} changes during training: {', '.join(moved)}"
                    + (f", so that even then {came_to}." if came_to else ".")
                )
    return said


def _terms(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for term in settings.get("terms") or ():
        if isinstance(term, Mapping):
            yield term


def _came_to(loss: str, options: Mapping[str, Any]) -> str:
    """As the loss's folder says it; empty where it says nothing or is not there any more."""
    if loss not in catalogue.names():
        return ""
    training = catalogue.get(loss).training
    return training.amounts_to(options) if training and training.amounts_to else ""


def waiting(found: Sequence[Group]) -> str:
    """How much of the training went into waiting for images; empty where it was not recorded."""
    shares = [
        share
        for group in found
        for one in group.ran
        for row in one.epochs
        if (share := row.get(WAIT)) is not None
    ]
    if not shares:
        return ""
    mean, worst = fmean(shares), max(shares)
    said = f"Steps waited for images {_percent(mean)} of the time ({_percent(worst)} in the worst "
    said += "epoch that was recorded)"
    if mean < _SELDOM:
        return f"{said}: the training, not the loader, takes the time."
    return f"{said}, so images/s includes the loader."


def _percent(share: float) -> str:
    if share < 1e-4:
        return "less than 0.01%"
    return f"{100 * share:.2g}%" if share < 0.1 else f"{share:.0%}"


COSTS = (
    "Images/s and peak memory are per process: others may have trained at the same time, and the "
    "process may have trained other networks before. They say what this run took and do not rank "
    "losses; the suite's benchmarks do."
)
