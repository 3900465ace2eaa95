"""Writes a run's lines: every line carries the run, the session and where it came from."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from marginbench import catalogue
from suites.cases import Case
from suites.presets import Preset

from . import folders, kinds, machine
from .record_files import FILE
from .records import (
    CaseEnd,
    CaseKey,
    Provenance,
    RecordError,
    Result,
    Run,
    RunEnd,
    Session,
    Training,
    arrange,
    read_lines,
)
from .rows import Row
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
        try:
            self._writer = Writer(self.path)
            self.before: Run = arrange(read_lines(self.path))
        except BaseException:
            os.close(self._lock)
            raise
        earlier = self.before.sessions
        self.run = earlier[0].run if earlier else uuid.uuid4().hex
        self.session = uuid.uuid4().hex
        self.worse = sum(result.status == "worse" for result in self.before.results)
        cells = [result.status for result in self.before.results]
        cells += [training.status for training in self.before.trainings]
        self.measured = len(cells) - cells.count("not_run")
        self._common: dict[str, Any] = {"run": self.run, "session": self.session}
        self._preset = ""

    def start(self, command: str, preset: Preset, seed: int, plan: list[str]) -> None:
        """The session's line: the machine and the plan."""
        self._preset = "" if preset.name == "default" else f" --{preset.name}"
        commit, dirty = machine.commit()
        broken = {failure.name: failure.reason for failure in catalogue.failures()}
        self._writer.append(
            Session(
                **self._common, command=command, preset=preset.name, seed=seed, started_at=now(),
                commit=commit, dirty=dirty, identity=machine.identity(),
                information={**machine.information(), "failed_losses": broken}, plan=plan,
            )
        )  # fmt: skip

    def results(self, case: Case, rows: Iterable[Row]) -> None:
        key = case_key(case)
        for row in rows:
            command = f"marginbench run{self._preset} --case {key.id} --contender eager"
            if row.contender != "eager":
                command += f",{row.contender}"
            self.worse += row.status == "worse"
            self.measured += row.status != "not_run"
            self._writer.append(
                Result(**self._common, case=key, provenance=provenance(command), **asdict(row))
            )

    def end_case(self, case: Case, seconds: float) -> None:
        self._writer.append(CaseEnd(**self._common, case=case.id, seconds=seconds))

    def training(self, fields: dict[str, Any]) -> None:
        """One trained network; ``fields`` as in `records.Training`."""
        loss, seed = fields["loss"], fields["seed"]
        self.measured += fields["status"] != "not_run"
        command = f"marginbench run{self._preset} --suite training --loss {loss} --seed {seed}"
        self._writer.append(Training(**self._common, provenance=provenance(command), **fields))

    def end_run(self, seconds: float) -> None:
        self._writer.append(RunEnd(**self._common, seconds=seconds))

    def close(self) -> None:
        self._writer.close()
        os.close(self._lock)


def case_key(case: Case) -> CaseKey:
    variant = catalogue.get(case.loss).variant(case.variant)
    return CaseKey(
        suite=case.suite, loss=case.loss, variant=case.variant, variant_version=variant.version,
        family=variant.family, batch=case.shape.batch, dim=case.shape.dim,
        classes=case.shape.classes, dtype=case.dtype, device=case.device, data=case.data,
        seed=case.seed, sizes=case.shape.more,
    )  # fmt: skip


def provenance(command: str) -> Provenance:
    commit, dirty = machine.commit()
    return Provenance(
        commit=commit, dirty=dirty, machine=machine.name(), versions=machine.versions(),
        command=command, measured_at=now(),
    )  # fmt: skip


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
