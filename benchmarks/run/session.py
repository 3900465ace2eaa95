"""Runs a plan of cases and writes each result as it is made.

A run can be killed at any moment: a case counts once all its results are there, and a later
session goes on with the cases that are not.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from suites.cases import Case
from suites.jobs import Underway
from suites.presets import Preset
from suites.schema import TRAINING_WORDS

from ..instruments import machine, memory
from ..instruments.contenders import cold_caches
from ..instruments.rows import Row, not_run
from ..records.journal import Journal
from ..steps import Progress, Step, plain
from . import interpreted
from .measurement import Measurement
from .order import expected_s, ordered

FINE, FAILED, NOT_MEASURED, INTERRUPTED = 0, 1, 3, 130
_LEAST_SHARE = 0.2
# Until this many expected seconds are done, they say nothing about the rest.
_ENOUGH_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """``exit_code``: 0, 1 where a contender was found wrong, 3 where nothing was measured at all,
    130 where it was interrupted."""

    exit_code: int
    records: Path
    done: int
    total: int
    worse: int


def run(
    cases: Sequence[Case],
    preset: Preset,
    out_dir: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    command: str = "marginbench run",
    contenders: Collection[str] | None = None,
    training: Collection[str] | None = None,
    progress: Progress = plain,
) -> Outcome:
    """Measures the cases that are not in ``out_dir`` yet, cheap information first.

    ``contenders`` narrows them (eager stays); ``training`` names the losses to train with, None
    for no training. Raises RecordError where the record file is damaged or held by another run.
    Whatever happens inside a case becomes results with a reason.
    """
    journal = Journal(out_dir)
    try:
        session = _Session(journal, preset, seed, device, contenders, training, progress)
        return session.run(cases, command)
    finally:
        journal.close()


class _Session:
    def __init__(
        self,
        journal: Journal,
        preset: Preset,
        seed: int,
        device: str,
        contenders: Collection[str] | None,
        training: Collection[str] | None,
        progress: Progress,
    ) -> None:
        self.journal, self.preset, self.seed, self.device = journal, preset, seed, device
        self.only, self.training, self.progress = contenders, training, progress
        self.started = time.monotonic()
        self.interpreter = interpreted.Interpreter()
        self.open: dict[str, float] = {}
        self.step = Step(0, 0)
        self.expected: dict[str, float] = {}
        self.spent_on_expected = 0.0

    def run(self, cases: Sequence[Case], command: str) -> Outcome:
        trainings = self._planned_trainings()
        ended = self.journal.before.ended
        trained = {training.name for training in self.journal.before.trainings}
        todo = [case for case in ordered(cases, self.preset) if case.id not in ended]
        left = [name for name in trainings if name not in trained]
        total = len(cases) + len(trainings)
        self.step = Step(total, total - len(todo) - len(left))
        if not todo and not left and self.journal.before.complete:
            return self._outcome(FINE)
        plan = [case.id for case in cases] + trainings
        self.journal.start(command, self.preset.name, self.seed, plan)
        self.reserved_s = training_s(self.preset, len(left))
        self.expected = {case.id: expected_s(case, self.preset) for case in todo}
        try:
            with ExitStack() as stack:
                stack.callback(self.interpreter.close)
                stack.enter_context(cold_caches())
                if self.device == "cpu":
                    stack.enter_context(memory.protected())
                self._cases(todo)
                self._train(left)
        except KeyboardInterrupt:
            return self._outcome(INTERRUPTED)
        self.journal.end_run(time.monotonic() - self.started)
        self._report(replace(self.step, current="", left_s=0.0, finished="", note=""))
        return self._outcome(FINE)

    def _outcome(self, code: int) -> Outcome:
        worse = self.journal.worse
        if code == FINE:
            code = FAILED if worse else FINE if self.journal.measured else NOT_MEASURED
        return Outcome(code, self.journal.path, self.step.done, self.step.total, worse)

    def _cases(self, todo: list[Case]) -> None:
        handed = {case.id: interpreted.contenders(case, self.only) for case in todo}
        if any(handed.values()):
            self.interpreter.start()
        for case in todo:
            if "speed" in case.measures:
                self._drain()
            measurement = Measurement(
                case, self.preset, self.only, handed[case.id], self._seconds_per_case()
            )
            if reason := self._why_not(case):
                self.journal.results(case, measurement.not_run(reason))
                self._end(case, 0.0, reason)
                continue
            self._report(replace(self.step, current=case.id, left_s=self._left_s(), finished=""))
            start = time.monotonic()
            for rows in measurement.rows():
                self.journal.results(case, rows)
            seconds = time.monotonic() - start
            if handed[case.id]:
                self.open[case.id] = seconds
                self.interpreter.submit(case, handed[case.id], measurement.truths)
            else:
                self._end(case, seconds)
            self._collect(0.0)
        self._drain()

    def _why_not(self, case: Case) -> str:
        """Why a case is not measured at all; empty where it is."""
        if time.monotonic() - self.started > self.preset.budget_s - self.reserved_s:
            return f"time budget of {self.preset.budget_s:g} s spent"
        return (case.device == "cuda" and machine.missing("cuda")) or ""

    def _drain(self) -> None:
        """Waits for the interpreter: nothing else may compute while something is timed."""
        while self.interpreter.busy:
            self._collect(1.0)

    def _collect(self, wait_s: float) -> None:
        for answer in self.interpreter.collect(wait_s):
            rows = [Row(**row) for row in answer.rows]
            if answer.reason:
                metric = Measurement(answer.case, self.preset).metrics()[0]
                for name in answer.names:
                    rows += not_run(name, (metric,), answer.reason, mode=interpreted.MODE)
            self.journal.results(answer.case, rows)
            self._end(answer.case, self.open.pop(answer.case.id) + answer.seconds)

    def _end(self, case: Case, seconds: float, note: str = "") -> None:
        self.journal.end_case(case, seconds)
        self.spent_on_expected += self.expected.pop(case.id, 0.0)
        self._report(
            replace(
                self.step, done=self.step.done + 1, left_s=self._left_s(), finished=case.id,
                note=note or f"{seconds:.1f} s",
            )
        )  # fmt: skip

    def _left_and_room_s(self) -> tuple[float, float]:
        """What the remaining cases should take, corrected by how the ones done turned out, and
        what the budget leaves for them."""
        elapsed = time.monotonic() - self.started
        factor = elapsed / self.spent_on_expected if self.spent_on_expected > _ENOUGH_S else 1.0
        left = sum(self.expected.values()) * min(3.0, max(0.3, factor))
        return left, max(0.0, self.preset.budget_s - self.reserved_s - elapsed)

    def _left_s(self) -> float:
        return min(self._left_and_room_s()) + self.reserved_s

    def _seconds_per_case(self) -> float:
        """The preset's, or less if the rest would not fit into the budget otherwise: fewer rounds
        of every case say more than none of the last."""
        left, room = self._left_and_room_s()
        share = min(1.0, room / left) if left else 1.0
        return self.preset.seconds_per_case * max(_LEAST_SHARE, share)

    def _report(self, step: Step) -> None:
        self.step = step
        self.progress(step)

    def _planned_trainings(self) -> list[str]:
        if self.training is None:
            return []
        from benchmarks.training import training

        plan = training.plan(self.preset, self.seed, self.device)
        return [job.name for job in plan if job.loss in self.training]

    def _train(self, left: list[str]) -> None:
        if not left or self.training is None:
            return
        from benchmarks.training import training

        done = {trained.name for trained in self.journal.before.trainings}
        commit, dirty = machine.commit()
        tags = {
            "commit": commit, "dirty": str(dirty), "machine": machine.name(),
            "run": self.journal.run, **machine.versions(),
        }  # fmt: skip

        def report(at: Underway) -> None:
            share = self.reserved_s / max(1, len(left))
            self.reserved_now = max(0.0, share * (1 - at.epoch / max(1, at.epochs)))
            behind = sum(other not in done for other in left) - 1
            left_s = self.reserved_now + share * max(0, behind)
            self._report(
                replace(self.step, current=at.result.name, left_s=left_s, finished="", note="")
            )

        results = training.run_all(
            self.preset, self.journal.path.parent, self.seed, self.device,
            losses=self.training, done=done, tags=tags, progress=report,
        )  # fmt: skip
        for result in results:
            self.journal.training(result)
            done.add(result.name)
            self._report(
                replace(
                    self.step, done=self.step.done + 1, finished=result.name,
                    note=result.reason or TRAINING_WORDS[result.status],
                )
            )  # fmt: skip


def training_s(preset: Preset, jobs: int) -> float:
    """Seconds to keep for that many trainings."""
    return (5 + jobs * (1 + 0.2 * preset.training_epochs)) if jobs else 0.0
