"""Writes the lines of a quality run: sessions, trainings, the end."""

from __future__ import annotations

import shlex
from dataclasses import asdict

from benchmarks import files, journal, kinds, machine
from benchmarks.records import Session, Training
from marginbench import catalogue
from suites.quality.jobs import TrainingResult


class Journal(journal.Journal):
    """The record file of a quality run; see `benchmarks.journal.Journal`."""

    KIND = kinds.QUALITY

    def begin(self, command: str, preset: str, seed: int, plan: list[str]) -> None:
        """The session's line. ``command`` is what the trainings' own commands begin with."""
        self._command = command
        commit, dirty = machine.commit()
        broken = {failure.name: failure.reason for failure in catalogue.failures()}
        self._writer.append(
            Session(
                **self._common, command=command, preset=preset, seed=seed,
                started_at=journal.now(), commit=commit, dirty=dirty, identity=machine.identity(),
                information={**machine.information(), "failed_losses": broken}, plan=plan,
            )
        )  # fmt: skip

    def trained(self, result: TrainingResult) -> None:
        """One network, with a command that trains it again: from the plan where the plan says
        how, from this record where a search did; a recipe trains no other."""
        name = shlex.quote(result.name)
        if result.study in ("open", "search"):
            command = f"marginbench quality again {shlex.quote(str(self.path))} {name}"
        elif self._command.startswith("marginbench quality recipe"):
            command = self._command
        else:
            command = f"{self._command} --only {name}"
        provenance = journal.provenance(files.encoded(command).decode())
        self._writer.append(Training(**self._common, provenance=provenance, **asdict(result)))
