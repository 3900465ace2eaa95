"""Processes that train, one job at a time each; what dies in one costs that job and no other.

A worker lives as long as the run: its imports take seconds. It is spawned, so that it inherits no
state, ends by itself when its parent is gone, and holds a shared lock on the run's folder
meanwhile: a resumed run waits until no earlier worker writes there any more.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.records import RecordError
from benchmarks.training import notices
from suites.quality.jobs import Job
from suites.schema import TrainingResult

TRAIN = "benchmarks.training.training:run"
MIRROR = "benchmarks.training.tracking:Mirror"
_LOCK = ".workers.lock"
_EARLIER_WORKERS_S = 30.0
_IDLE_DEATHS = 3
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Setting:
    """What every worker of a run is given. ``train`` is a function as ``module:name``, called as
    ``train(job, out_dir, mirror, progress)``; ``mirror`` is a class likewise, called with the
    folder and ``tags``, or empty for no mirror."""

    out_dir: Path
    threads: int = 1
    train: str = TRAIN
    mirror: str = MIRROR
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """A training has done ``epoch`` of ``epochs``."""

    job: Job
    epoch: int
    epochs: int


@dataclass(frozen=True)
class Ended:
    """A training is over after ``seconds``; ``died``: its worker went away in it."""

    job: Job
    result: TrainingResult
    seconds: float
    died: bool = False


@dataclass(frozen=True)
class Notice:
    """What the suite warned of while it trained, in a sentence."""

    text: str


Event = Epoch | Ended | Notice


class _Worker:
    def __init__(self, setting: Setting) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(theirs, setting), daemon=False)
        with processes.deaf_to_interrupts():
            self.process.start()
        theirs.close()  # so that its death is the end of the pipe
        self.job: Job | None = None
        self.sent_at = 0.0

    def send(self, job: Job) -> None:
        self.job, self.sent_at = job, time.monotonic()
        with suppress(OSError):  # it has died, which the end of its pipe shows
            self.pipe.send(job.plain())

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.process.close()


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
                worker.send(job)
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
            except (EOFError, OSError):
                found += self._replace(index)
        return found

    def _replace(self, index: int) -> list[Ended]:
        worker = self._workers[index]
        worker.process.join()
        code = worker.process.exitcode or 0
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
        return [Ended(job, not_run(job, reason), seconds, died=True)]


def _receive(worker: _Worker) -> list[Event]:
    found: list[Event] = []
    while worker.job is not None and worker.pipe.poll():
        kind, *what = worker.pipe.recv()
        if kind == "epoch":
            found.append(Epoch(worker.job, *what))
        elif kind == "notice":
            found.append(Notice(*what))
        else:
            found.append(Ended(worker.job, TrainingResult(**what[0]), what[1]))
            worker.job = None
    if not found and worker.job is None:
        worker.pipe.recv()  # an idle worker says nothing: this is its end
    return found


def not_run(job: Job, reason: str) -> TrainingResult:
    """The result of a training that there is none of."""
    return TrainingResult(
        name=job.name, loss=job.loss, variant=job.terms[0].variant, contender=job.contender,
        dataset=job.dataset, seed=job.seed, status="not_run", reason=reason, study=job.study,
        arm=job.arm, job=job.plain(),
    )  # fmt: skip


def _work(pipe: Connection, setting: Setting) -> None:
    """The worker: from here on in a process of its own."""
    processes.heed_parent_alone()
    # Before torch is imported; the training itself sets torch's own number.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(setting.threads)
    lock = os.open(setting.out_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(lock, fcntl.LOCK_SH)
    train = resolve(setting.train)
    mirror, no_mirror = _mirror(setting)
    notices.LOGGER.addHandler(_Notices(pipe))
    notices.LOGGER.propagate = False
    while True:
        try:
            job = Job.from_plain(pipe.recv())
        except (EOFError, OSError):
            return
        start = time.monotonic()

        def report(name: str, epoch: int, epochs: int) -> None:
            pipe.send(("epoch", epoch, epochs))

        try:
            result = train(job, setting.out_dir, mirror, report)
        except Exception as error:
            result = not_run(job, f"{type(error).__name__}: {error}")
        if no_mirror:
            result = replace(result, mlflow={"reason": no_mirror})
        pipe.send(("ended", vars(result), time.monotonic() - start))


class _Notices(logging.Handler):
    """Sends warnings to the parent, which shows each once for all workers, above its bar."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.WARNING)
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        self._pipe.send(("notice", record.getMessage()))


def _mirror(setting: Setting) -> tuple[Any, str]:
    """The mirror of the run, or why there is none: that ends no training."""
    if not setting.mirror:
        return None, ""
    try:
        return resolve(setting.mirror)(setting.out_dir, setting.tags), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


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


def resolve(entry: str) -> Callable[..., Any]:
    """What ``module:name`` names."""
    module, _, name = entry.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
