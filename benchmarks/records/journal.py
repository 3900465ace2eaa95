"""Writes a run's lines: every line carries the run, the session and where it came from."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from marginbench import catalogue
from suites.cases import Case
from suites.schema import Row, TrainingResult

from ..instruments import machine
from . import folders, kinds
from .lines import CaseEnd, Provenance, Result, RunEnd, Session, Training
from .record_files import FILE, RecordError
from .writing import Writer


class Journal:
    """The record file of a run, held by one process at a time.

    Opening removes a last line that was left unfinished when the run was killed; ``before`` is what
    earlier sessions of the run wrote. Raises RecordError if the file is damaged or another process
    is writing it, and `folders.Refused` if the folder holds something else.
    """

    KIND = kinds.RUN

    def __init__(self, out_dir: Path) -> None:
        self.path = out_dir / FILE
        folders.make(out_dir, self.KIND, "--out")
        self._lock = os.open(out_dir / f".{FILE}.lock", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise RecordError(
                f"records: {self.path} is being written by another process; wait until it ends"
            ) from None
        self.run = self.session = uuid.uuid4().hex
        self.worse = self.measured = 0
        try:
            self._writer = Writer(self.path)
            self._read()
        except BaseException:
            os.close(self._lock)
            raise
        self.session = uuid.uuid4().hex
        self._common: dict[str, Any] = {"run": self.run, "session": self.session}
        self._command = ""

    def _read(self) -> None:
        """What the file holds already, checked."""
        from .loading import arrange, read_lines  # these need pydantic

        self.before = arrange(read_lines(self.path))
        if self.before.sessions:
            self.run = self.before.sessions[0].run
        self.worse = sum(result.status == "worse" for result in self.before.results)
        cells = [result.status for result in self.before.results]
        cells += [training.status for training in self.before.trainings]
        self.measured = len(cells) - cells.count("not_run")

    def start(
        self, command: str, preset: str, seed: int, plan: list[str],
        information: Mapping[str, Any] = {},
    ) -> None:  # fmt: skip
        """The session's line: the machine and the plan."""
        self._command = command
        commit, dirty = machine.commit()
        broken = {failure.name: failure.reason for failure in catalogue.failures()}
        facts = {**machine.information(), "failed_losses": broken, **information}
        self._writer.append(
            Session(
                **self._common, command=command, preset=preset, seed=seed, started_at=now(),
                commit=commit, dirty=dirty, identity=machine.identity(), information=facts,
                plan=plan,
            )
        )  # fmt: skip
        self._run = "marginbench run" + ("" if preset == "default" else f" --{preset}")

    def results(self, case: Case, rows: Iterable[Row]) -> None:
        for row in rows:
            self.worse += row.status == "worse"
            self.measured += row.status != "not_run"
            made = provenance(self._again(case, row))
            self._writer.append(Result(**self._common, case=case.key, provenance=made, **vars(row)))

    def _again(self, case: Case, row: Row) -> str:
        """The command that measures it again."""
        names = "eager" if row.contender == "eager" else f"eager,{row.contender}"
        return f"{self._run} --case {case.id} --contender {names}"

    def end_case(self, case: Case, seconds: float) -> None:
        self._writer.append(CaseEnd(**self._common, case=case.id, seconds=seconds))

    def training(self, result: TrainingResult) -> None:
        self.measured += result.status != "not_run"
        command = f"{self._run} --suite training --loss {result.loss} --seed {result.seed}"
        self._trained(result, command)

    def _trained(self, result: TrainingResult, command: str) -> None:
        """With the command that trains it again."""
        made = provenance(command)
        self._writer.append(Training(**self._common, provenance=made, **vars(result)))

    def end_run(self, seconds: float) -> None:
        self._writer.append(RunEnd(**self._common, seconds=seconds))

    def close(self) -> None:
        self._writer.close()
        os.close(self._lock)


def provenance(command: str) -> Provenance:
    commit, dirty = machine.commit()
    return Provenance(
        commit=commit, dirty=dirty, machine=machine.name(), versions=machine.versions(),
        command=command, measured_at=now(),
    )  # fmt: skip


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
