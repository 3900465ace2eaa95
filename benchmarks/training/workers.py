"""Processes that train, one job at a time each; what dies in one costs that job and no other.

A worker lives as long as the run: its imports take seconds. It inherits no state and ends when its
parent is gone (`processes.Worker`), and holds a shared lock on the run's folder meanwhile: a
resumed run waits until no earlier worker writes there any more.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pkgutil
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmarks import notices, processes
from benchmarks.records.loading import RecordError
from suites.jobs import Job, Underway
from suites.schema import TrainingResult

TRAIN = "benchmarks.training.training:run"
_LOCK = ".workers.lock"
_EARLIER_WORKERS_S = 30.0
_IDLE_DEATHS = 3


@dataclass(frozen=True)
class Setting:
    """What every worker of a run is given. ``train`` is a function as ``module:name``, called as
    ``train(job, out_dir, report)``."""

    out_dir: Path
    threads: int = 1
    train: str = TRAIN


@dataclass(frozen=True)
class Ended:
    """A training is over after ``seconds``."""

    job: Job
    result: TrainingResult
    seconds: float


@dataclass(frozen=True)
class Notice:
    """What the suite warned of while it trained, in a sentence."""

    text: str


Event = Underway | Ended | Notice


class _Worker(processes.Worker):
    def __init__(self, setting: Setting) -> None:
        super().__init__(_work, setting)
        self.job: Job | None = None
        self.sent_at = 0.0

    def submit(self, job: Job) -> None:
        self.job, self.sent_at = job, time.monotonic()
        self.send(job.plain())


class Pool:
    """``count`` workers. Use as a context: leaving it kills what still runs."""

    def __init__(self, count: int, setting: Setting) -> None:
        self._setting = setting
        _wait_for_earlier_workers(setting.out_dir)
        self._idle_deaths = 0
        self._workers = [_Worker(setting) for _ in range(count)]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()

    @property
    def running(self) -> list[Job]:
        """What is being trained, the longest first."""
        busy = [worker for worker in self._workers if worker.job is not None]
        return [w.job for w in sorted(busy, key=lambda w: w.sent_at) if w.job is not None]

    @property
    def idle(self) -> int:
        return sum(worker.job is None for worker in self._workers)

    def submit(self, job: Job) -> None:
        """To a worker that is idle; raises ValueError where none is."""
        for worker in self._workers:
            if worker.job is None:
                worker.submit(job)
                return
        raise ValueError("job: expected an idle worker; all are busy")

    def events(self, wait_s: float) -> list[Event]:
        """What has happened since; waits at most ``wait_s`` for a first event."""
        found: list[Event] = []
        ready = wait([worker.pipe for worker in self._workers], timeout=wait_s)
        for index, worker in enumerate(self._workers):
            if worker.pipe not in ready:
                continue
            try:
                found += _receive(worker)
            except processes.Ended as ended:
                found += self._replace(index, ended.code or 0)
        return found

    def _replace(self, index: int, code: int) -> list[Ended]:
        worker = self._workers[index]
        job, seconds = worker.job, time.monotonic() - worker.sent_at
        worker.kill()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        memory = ", as one is that takes more memory than there is" if code == -9 else ""
        self._workers[index] = _Worker(self._setting)
        if job is None:
            self._idle_deaths += 1
            if self._idle_deaths > _IDLE_DEATHS:  # the next would end likewise, for ever
                raise RecordError(f"workers: expected processes that train; one {how} at once")
            return []
        reason = f"the process that trained it {how}{memory}"
        return [Ended(job, not_run(job, reason), seconds)]


def _receive(worker: _Worker) -> list[Event]:
    found: list[Event] = []
    while worker.job is not None and (message := worker.receive()) is not None:
        kind, *what = message
        if kind == "ended":
            found.append(Ended(worker.job, *what))
            worker.job = None
        else:
            found += what
    if not found and worker.job is None:
        worker.receive()  # an idle worker says nothing: this is its end
    return found


def not_run(job: Job, reason: str) -> TrainingResult:
    """The result of a training that there is none of."""
    return TrainingResult(
        name=job.name, loss=job.loss, variant=job.terms[0].variant, contender=job.contender,
        dataset=job.dataset, seed=job.seed, status="not_run", reason=reason, study=job.study,
        arm=job.arm, job=job.plain(),
    )  # fmt: skip


def _work(setting: Setting, pipe: Connection) -> None:
    """The worker: from here on in a process of its own."""
    # Before torch is imported; the training itself sets torch's own number.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(setting.threads)
    lock = os.open(setting.out_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(lock, fcntl.LOCK_SH)
    train = pkgutil.resolve_name(setting.train)
    notices.LOGGER.addHandler(_Notices(pipe))
    notices.LOGGER.propagate = False
    while True:
        try:
            job = Job.from_plain(pipe.recv())
        except (EOFError, OSError):
            return
        start = time.monotonic()
        try:
            result = train(job, setting.out_dir, lambda at: pipe.send(("underway", at)))
        except Exception as error:
            result = not_run(job, f"{type(error).__name__}: {error}")
        pipe.send(("ended", result, time.monotonic() - start))


class _Notices(logging.Handler):
    """Sends warnings to the parent, which shows each once for all workers, above its bar."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        self._pipe.send(("notice", Notice(record.getMessage())))


def _wait_for_earlier_workers(out_dir: Path) -> None:
    """Those of a run that was killed end by themselves, but not in the same instant."""
    out_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(out_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + _EARLIER_WORKERS_S
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > until:
                    raise RecordError(
                        f"records: {out_dir} is still being written by a process of an earlier "
                        "run; end it"
                    ) from None
                time.sleep(0.05)
    finally:
        os.close(lock)
