"""Writes the lines of a quality run: sessions, trainings, the end."""

from __future__ import annotations

import shlex

from benchmarks.records import files, journal, kinds
from suites.schema import TrainingResult


class Journal(journal.Journal):
    """The record file of a quality run; see `benchmarks.records.journal.Journal`."""

    KIND = kinds.QUALITY

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
        self._trained(result, files.encoded(command).decode())
