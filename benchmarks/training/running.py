"""Runs a plan of trainings in parallel, and writes each as it ends.

It can be killed at any moment: what has ended is in the record, and what was running continues from
its own checkpoint. What was not run (a dataset is missing, a worker was killed) is tried again when
the run is resumed.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.instruments import machine
from benchmarks.notices import warn_once
from benchmarks.records.loading import Training
from benchmarks.steps import Progress, Step, plain
from suites.jobs import Underway
from suites.schema import TrainingResult

from . import workers
from .journal import Journal
from .planning import Asked, Plan
from .queueing import Queue, failed
from .tracking import NOT_INSTALLED, Background, Mirror

FINE, FAILED, NOT_POSSIBLE, INTERRUPTED = 0, 1, 3, 130
_POLL_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """``exit_code``: 0 where all was trained (a network that diverged is a result too), 1 where a
    training failed by a fault of the suite, 3 where one can't be run here (its data is missing or
    damaged) or MLflow's store did not take one, 130 interrupted. ``not_run`` counts trainings by
    the reason why there is none, ``not_mirrored`` those that MLflow does not have in whole by
    the reason why."""

    exit_code: int
    records: Path
    done: int
    total: int
    diverged: int
    not_run: dict[str, int]
    not_mirrored: dict[str, int] = field(default_factory=dict)


def run(
    plan: Plan,
    asked: Asked,
    out_dir: Path,
    *,
    command: str = "marginbench quality run",
    processes: int = 0,
    mlflow: bool = True,
    progress: Progress = plain,
    train: str = workers.TRAIN,
) -> Outcome:
    """Trains the part of the plan that is not in ``out_dir`` yet.

    ``processes`` train side by side (0: one a core; one alone on a GPU). Raises RecordError where
    the record is damaged or held by another run, or no process can be started.
    """
    count = processes or (1 if asked.device == "cuda" else machine.identity()["cores"])
    with closing(Journal(out_dir)) as journal:
        session = _Session(journal, plan, progress, count)
        if session.queue.over and journal.before.complete:
            return session.outcome(FINE)
        journal.start(command, asked.preset, asked.seed, plan.names)
        commit, dirty = machine.commit()
        tags = {"commit": commit, "dirty": str(dirty), "machine": machine.name(),
                "run": journal.run, **machine.versions()}  # fmt: skip
        setting = workers.Setting(out_dir.resolve(), 1, train)
        if not mlflow:
            return session.run(setting)
        session.mirror = Mirror(out_dir, tags=tags)
        for earlier in journal.before.trainings:  # what a session that was killed had not sent
            session.mirror.take(earlier)
        with Background(session.mirror) as sending:
            return session.run(setting, sending)


class _Session:
    def __init__(self, journal: Journal, plan: Plan, progress: Progress, processes: int) -> None:
        self.journal, self.progress, self.processes = journal, progress, processes
        self.queue = Queue(plan, journal.before.trainings)
        self.results: dict[str, TrainingResult | Training] = {
            one.name: one for one in journal.before.trainings
        }
        self.shares: dict[str, float] = {}
        self.mirror: Mirror | None = None
        self.started = time.monotonic()

    def run(self, setting: workers.Setting, sending: Background | None = None) -> Outcome:
        try:
            if not self.queue.over:
                with workers.Pool(self.processes, setting) as pool:
                    self._train(pool)
            for left in sending.last() if sending else ():
                step = Step(self.queue.total, self.queue.done, current=f"MLflow: {left} to send")
                self.progress(step)
        except KeyboardInterrupt:
            return self.outcome(INTERRUPTED)
        self.journal.end_run(time.monotonic() - self.started)
        return self.outcome(FINE)

    def outcome(self, code: int) -> Outcome:
        missing = [one for one in self.results.values() if one.status == "not_run"]
        if code == FINE and missing:
            code = FAILED if any(map(failed, missing)) else NOT_POSSIBLE
        not_mirrored = self.mirror.not_sent() if self.mirror and code != INTERRUPTED else {}
        # Without mlflow installed, no store is wanted, and none has failed.
        if code == FINE and set(not_mirrored) - {NOT_INSTALLED}:
            code = NOT_POSSIBLE
        return Outcome(
            code, self.journal.path, self.queue.done, self.queue.total,
            sum(one.status == "worse" for one in self.results.values()),
            dict(Counter(one.reason for one in missing)), not_mirrored,
        )  # fmt: skip

    def _train(self, pool: workers.Pool) -> None:
        while not self.queue.over:
            while pool.idle and (job := self.queue.next()) is not None:
                pool.submit(job)
            self._report(pool, Step(self.queue.total, self.queue.done))
            for event in pool.events(_POLL_S):
                if isinstance(event, Underway):
                    self.shares[event.result.name] = event.epoch / max(1, event.epochs)
                    if self.mirror:
                        self.mirror.hear(event.result, event.facts)
                elif isinstance(event, workers.Notice):
                    warn_once(event.text)  # which several workers may have met
                else:
                    self._end(pool, event)

    def _end(self, pool: workers.Pool, event: workers.Ended) -> None:
        result, name = event.result, event.job.name
        if self.mirror:
            result = replace(result, mlflow=self.mirror.place(result))
        self._write(result)
        if self.mirror:
            self.mirror.hear(result)
        self.shares.pop(name, None)
        self.queue.ended(result, event.seconds)
        for other in self.queue.abandoned():
            self._write(other)
        note = f"{event.seconds:.1f} s" if result.status == "ok" else first_line(result.reason)
        step = Step(self.queue.total, self.queue.done, finished=name, note=note)
        self._report(pool, step)

    def _write(self, result: TrainingResult) -> None:
        """Unless an earlier session recorded that it is not run, for the same reason."""
        before = self.results.get(result.name)
        known = before and (before.status, before.reason) == (result.status, result.reason)
        if not (known and result.status == "not_run"):
            self.journal.trained(result)
        self.results[result.name] = result

    def _report(self, pool: workers.Pool, step: Step) -> None:
        left_s = self.queue.left_s(self.processes, self.shares)
        current = ", ".join(job.name for job in pool.running)
        self.progress(replace(step, current=current, left_s=left_s))


def first_line(reason: str) -> str:
    """Some libraries' messages go on for a page; the record has them whole."""
    return reason.strip().partition("\n")[0]
