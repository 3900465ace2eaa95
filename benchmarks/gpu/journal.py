"""Writes the lines of a GPU session with the standard library alone.

A borrowed machine may have only torch and Triton, so nothing here validates as
`benchmarks.records.loading` does: that happens when the file is read, and a test keeps the two in
step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from suites.cases import Case
from suites.schema import CaseKey, Row

from ..instruments.metrics import range_of
from ..records import digests, journal, kinds, record_files, writing
from ..records.folders import Refused
from ..records.record_files import RecordError

# How the reason begins for a cell that another session may still measure.
NO_TIME = "time budget"


class Journal(journal.Journal):
    """The record file of a GPU session; see `benchmarks.records.journal.Journal`. ``ended`` holds
    the cases that need no second measurement; one that ran out of time is open again. Raises
    Refused if the folder holds something else."""

    KIND = kinds.GPU

    def __init__(self, out: Path, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.ended, self.ended_now = set[str](), set[str]()
        self._reported: set[tuple[Any, ...]] = set()
        try:
            super().__init__(out)
        except RecordError as error:
            raise Refused(f"--out: {str(error).removeprefix('records: ')}") from None

    def _read(self) -> None:
        lines = list(
            digests.read(
                writing.whole_lines(self.path), _parsed, self._refused,
                expected=lambda line: line["schema_version"] > 1,
            )
        )  # fmt: skip
        if lines and lines[0]["kind"] != "session":
            raise Refused(f"--out: {self.path} begins with no session; choose another folder")
        sessions = [line for line in lines if line["kind"] == "session"]
        if any(bool(s["information"].get("dry_run")) != self.dry_run for s in sessions):
            kind = "a measured session" if self.dry_run else "a dry run, which is no evidence"
            raise Refused(f"--out: {self.path} holds {kind}; choose another folder")
        if sessions:
            self.run = sessions[0]["run"]
        whole: dict[tuple[str, str], bool] = {}
        for line in lines:
            if line["kind"] == "result":
                key = (line["session"], CaseKey(**line["case"]).id)
                whole[key] = whole.get(key, True) and not line["reason"].startswith(NO_TIME)
                self.measured += line["status"] != "not_run"
            elif line["kind"] == "case_end":
                done = whole.pop((line["session"], line["case"]), True)
                (self.ended.add if done else self.ended.discard)(line["case"])

    def _refused(self, number: int, text: str, error: Exception) -> Refused:
        why = f"expected the records of a GPU session in {self.path}; a line is not one"
        if isinstance(error, digests.Changed):
            why = f"{self.path}: a line was changed: {error}"
        return Refused(f"--out: {why}; choose another folder")

    def begin(
        self, command: str, preset: str, plan: list[str], information: Mapping[str, Any]
    ) -> None:
        self.start(command, preset, 0, plan, {**information, "dry_run": self.dry_run})
        self._run = "marginbench run"  # which has no preset of that name

    def results(self, case: Case, rows: Iterable[Row], extra: Mapping[str, Any] = {}) -> None:
        """``extra`` goes into each row's protocol; a cell reported already is left out."""
        how = {**extra, "dry_run": True} if self.dry_run else extra
        for row in rows:
            key = (case.id, row.contender, row.metric, *sorted(row.of.items()),
                   str(row.protocol.get("mode")))  # fmt: skip
            if key not in self._reported:
                self._reported.add(key)
                row = _measurable(row)
                super().results(case, [replace(row, protocol={**row.protocol, **how})])

    def reported(self, case: Case) -> set[tuple[str, str]]:
        """The contenders and metrics that have a line."""
        return {(key[1], key[2]) for key in self._reported if key[0] == case.id}

    def end_case(self, case: Case, seconds: float) -> None:
        self.ended_now.add(case.id)
        super().end_case(case, seconds)

    def _again(self, case: Case, row: Row) -> str:
        if case.suite in ("agreement", "speed") and not self.dry_run:
            return super()._again(case, row)
        return self._command


def _parsed(text: str) -> dict[str, Any]:
    line = record_files.parsed(text)
    if "kind" not in line:
        raise ValueError("it has no kind")
    return line


def _measurable(row: Row) -> Row:
    """What is no figure, or none that can be measured, becomes a missing one."""
    low, high = range_of(row.metric)
    if row.value is None or all(low <= one <= high for one in (row.value, *row.rounds)):
        return row
    reason = row.reason or f"its figure is {row.value}"
    return replace(row, value=None, rounds=[], status="worse", reason=reason)
