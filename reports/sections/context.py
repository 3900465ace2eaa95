"""What every section is given: the records, the style of each contender, names for cases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..document import Cell
from ..reading import PASSES, Measured, Records
from ..style import Styles


@dataclass(frozen=True)
class Context:
    """``resume`` is the command that completes the run."""

    records: Records
    styles: Styles
    resume: str

    @cached_property
    def several_machines(self) -> bool:
        return len(self.records.machines) > 1

    @cached_property
    def anchors(self) -> dict[str, str]:
        """By case id, the row of the table of commands that measures the case again."""
        ids = self.records.cases.each("id")
        return {name: f"case-{number}" for number, name in enumerate(ids, start=1)}

    @cached_property
    def _one_dtype(self) -> str:
        """The dtype of every timed case, which labels leave out; empty where they differ."""
        timed = self.records.results.where(metric=PASSES).each("dtype")
        return timed[0] if len(timed) == 1 else ""

    def label(self, measured: Measured, loss: bool = True) -> str:
        """A case in a line: what differs within one run, and not its suite or seed."""
        case = measured.case
        name = f"{case.loss}/{case.variant}" if loss else case.variant
        parts = [name, measured.size]
        if case.dtype != self._one_dtype:
            parts.append(case.dtype)
        if case.data != "drawn":
            parts.append(case.data)
        if self.several_machines:
            parts.append(machine_name(measured.machine))
        return " ".join(parts)

    def case_cell(self, measured: Measured, loss: bool = False) -> Cell:
        return Cell(self.label(measured, loss), record=measured.case.id)

    def losses(self) -> list[str]:
        return sorted(self.records.cases.each("loss"))

    def of_loss(self, loss: str) -> Context:
        """Of the run this loss alone; what it planned of others is none of its."""
        cases = self.records.cases.where(loss=loss)
        trainings = self.records.trainings.where(loss=loss)
        planned = tuple(name for name in self.records.planned if cases and _loss(name) == loss)
        part = replace(self.records, cases=cases, trainings=trainings, planned=planned)
        return replace(self, records=part)


def _loss(case_id: str) -> str:
    """A case's id is suite/loss/variant/..."""
    parts = case_id.split("/")
    return parts[1] if len(parts) > 2 else ""


def machine_name(index: int) -> str:
    return f"machine {index + 1}"


def mark(contender: str) -> Cell:
    return Cell(contender, mark=contender)


def slug(*parts: str) -> str:
    """A name that can be an id and a file: letters, digits, hyphens."""
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-").lower() or "x" for part in parts)


def unique(names: Sequence[str]) -> list[str]:
    """Names made different where two came out the same, so that each can be an id."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return made
