"""Child processes: started, spoken with, and ended with all that they started on every way out.

A `Program` is a command that answers lines of JSON: it has an environment of its own, and may run
under another program. A `Worker` calls a function of ours in a fresh interpreter. `side_by_side` is
a pool of such interpreters. None of them hears Ctrl-C: the parent decides what it means; and the
parent's end, be it by kill -9, is theirs too.

Needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any, Self

from .instruments.machine import ROOT

Message = dict[str, Any]
_TAIL = 4000
# How long the exit code of a process that has closed its pipe may take.
_ENDING_S = 5.0
# How often a program looks whether its parent is still there.
_GLANCE_S = 1.0


class Ended(Exception):
    """A child has ended; ``code`` is its exit code, or -N if signal N ended it."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"its process ended (exit code {code})")
        self.code = code


class Program:
    """A command that takes messages, a line of JSON each, and answers with such lines.

    It is started in a group of its own, which is killed with it. ``log`` gets what it writes to its
    error stream. Raises OSError where it can't be started.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path | None = None
    ) -> None:
        self._log, self._killed = log, False
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
        with open(log or os.devnull, "ab") as errors:  # noqa: PTH123  a path or a device
            self._said_before = errors.tell()
            self._child = subprocess.Popen(
                command, cwd=ROOT, env=dict(environment), text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed while it was waiting
            for line in self._child.stdout or ():
                self._lines.put(line)
        self._lines.put(None)

    def send(self, message: Message) -> None:
        """Also to one that has ended: `receive` tells. What it says from here on is `said`."""
        if self._log:
            self._said_before = self._log.stat().st_size
        with contextlib.suppress(OSError, ValueError):
            assert self._child.stdin is not None
            self._child.stdin.write(json.dumps(message) + "\n")
            self._child.stdin.flush()

    def receive(self, wait_s: float = 0.0) -> Message | None:
        """The next message; None if there is none within ``wait_s``. Passes over what a library
        printed. Raises Ended after the last."""
        until = time.monotonic() + wait_s
        while True:
            left = until - time.monotonic()
            try:
                line = self._lines.get(left > 0, max(0.0, left))
            except queue.Empty:
                return None
            if line is None:
                self._lines.put(None)  # for whoever asks again
                raise Ended(self._child.wait())
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    return message

    @property
    def said(self) -> str:
        """The end of what it wrote to its error stream since the last message to it."""
        if not self._log:
            return ""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(self._said_before, self._log.stat().st_size - _TAIL))
            return file.read().decode(errors="replace")
        return ""

    def leave(self, patience_s: float) -> None:
        """Lets it end by itself, for ``patience_s`` at most."""
        with contextlib.suppress(OSError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=patience_s)
        self.kill()

    def kill(self) -> None:
        if self._killed:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            # Closing flushes what the dead child did not read.
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def answer(handle: Callable[[Message], Iterable[Message]]) -> None:
    """All that a `Program` of ours does: answers each message with those that ``handle`` makes of
    it, until there are no more. What is printed meanwhile goes to the error stream."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        for message in handle(json.loads(line)):
            out.write(json.dumps(message) + "\n")
            out.flush()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_GLANCE_S)
    os._exit(1)


class Worker:
    """A fresh interpreter that calls ``target(given, pipe)`` and ends; use as a context, which
    kills it. ``preload`` names modules that a server imports once for all such processes."""

    def __init__(
        self, target: Callable[[Any, Connection], None], given: Any, preload: Sequence[str] = ()
    ) -> None:
        context: ForkServerContext | SpawnContext = multiprocessing.get_context("spawn")
        if preload:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(list(preload))
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(target, given, theirs), daemon=True)
        with deaf_to_interrupts():
            self._process.start()
        self.pid = int(self._process.pid or 0)
        theirs.close()  # so that its death is the end of the pipe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def send(self, message: Any) -> None:
        """Also to one that has ended: `receive` tells."""
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def receive(self, wait_s: float = 0.0) -> Any:
        """The next message; None if there is none within ``wait_s``. Raises Ended after the
        last."""
        try:
            return self.pipe.recv() if self.pipe.poll(wait_s) else None
        except (EOFError, OSError):
            self._process.join(_ENDING_S)
            raise Ended(self._process.exitcode) from None

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self.pipe.close()


def _work(target: Callable[[Any, Connection], None], given: Any, pipe: Connection) -> None:
    heed_parent_alone()
    target(given, pipe)


@contextlib.contextmanager
def side_by_side(count: int, *, once: bool = False) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``count`` fresh processes. An error or an interrupt kills what still works: a
    compilation or a launch of minutes has nobody left who would read it. ``once``: each process
    makes one call, and what it has read is given back before the next."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        count, context, heed_parent_alone, max_tasks_per_child=1 if once else None
    ) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.kill()
                # Not join: the pool's own thread may be the one that learns of its end.
                wait([child.sentinel])
            raise


@contextlib.contextmanager
def inheriting(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Workers that are started inside have these environment variables, and not those that are
    None: what a library reads as it is imported."""
    before = dict(os.environ)
    for name, value in changes.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """A process that is started inside does not hear Ctrl-C even while it imports, when nothing of
    ours could handle it: to ignore a signal is inherited."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def heed_parent_alone() -> None:
    """In a new process: Ctrl-C reaches the whole group, and the parent decides what it means; the
    parent's end, be it by kill -9, is this process's too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
