"""Children that work side by side, each on one case at a time, until a deadline.

A lane is a queue of cases and one or more children that take from it. Whatever a child does (crash,
hang, print nonsense, fail to start), its case gets a reason, and the lane continues with another
child; only a lane whose children keep dying is given up.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suites.cases import Case

from ..interpreted import hear
from ..machine import ROOT
from .journal import NO_TIME

# A lane is given up after this many deaths of its children without an answer in between.
_DEATHS = 3
_TAIL = 4000


@dataclass(frozen=True)
class Event:
    """News of a case. ``end``: nothing more follows; ``reason``: why something is missing; ``log``:
    the end of what the child wrote to its error stream meanwhile."""

    lane: str
    case: Case | None
    start: bool = False
    end: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    facts: Mapping[str, Any] | None = None
    reason: str = ""
    seconds: float = 0.0
    log: str = ""


@dataclass
class Lane:
    """``message`` makes the line for a case from the seconds that are left. A case gets
    ``patience_s`` at most, and is not begun with less than ``least_s`` left. ``stop_s``: how long
    a child may take to leave when its input is closed."""

    name: str
    cases: Sequence[Case | None]
    command: Sequence[str]
    environment: Mapping[str, str]
    message: Callable[[Case | None, float, int], dict[str, Any]]
    log: Path
    children: int = 1
    patience_s: float = 60.0
    least_s: float = 1.0
    stop_s: float = 5.0

    def __post_init__(self) -> None:
        self.waiting = collections.deque(self.cases)
        self.deaths = 0


def run(
    lanes: Sequence[Lane], deadline: float, budget: str, now: Callable[[], float] = time.monotonic
) -> Iterator[Event]:
    """Events of all lanes as they come; each case gets exactly one with ``end``.

    ``deadline`` is in ``now``'s seconds; ``budget`` says in words what was spent then.
    """
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    slots = [
        _Slot(lane, number, deadline, budget, now, events)
        for lane in lanes
        for number in range(min(lane.children, len(lane.cases)))
    ]
    threads = [threading.Thread(target=slot.work, daemon=True) for slot in slots]
    for thread in threads:
        thread.start()
    open_slots = len(slots)
    try:
        while open_slots:
            event = events.get()
            if event is None:
                open_slots -= 1
            else:
                yield event
    finally:
        for slot in slots:
            slot.over = True
            slot.kill()


class _Slot:
    """One child's place in a lane; `work` is all that its thread does."""

    def __init__(
        self,
        lane: Lane,
        number: int,
        deadline: float,
        budget: str,
        now: Callable[[], float],
        events: queue.SimpleQueue[Event | None],
    ) -> None:
        self.lane, self.number, self.deadline, self.budget = lane, number, deadline, budget
        self.now, self.events = now, events
        self.child: subprocess.Popen[str] | None = None
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.log = lane.log.with_name(f"{lane.log.name}-{number}.err")
        self.over, self.log_start = False, 0

    def work(self) -> None:
        lane = self.lane
        try:
            while not self.over:
                try:
                    case = lane.waiting.popleft()
                except IndexError:
                    break
                left = self.deadline - self.now()
                if left < lane.least_s:
                    self._end(case, f"{NO_TIME} of {self.budget} spent")
                elif lane.deaths >= _DEATHS:
                    self._end(case, f"given up: {_DEATHS} children of {lane.name} ended early")
                else:
                    self._case(case, left)
        finally:
            self._leave()
            self.events.put(None)

    def _end(self, case: Case | None, reason: str, seconds: float = 0.0) -> None:
        self.events.put(Event(self.lane.name, case, end=True, reason=reason, seconds=seconds,
                              log=self._said()))  # fmt: skip

    def _case(self, case: Case | None, left: float) -> None:
        lane = self.lane
        try:
            self._spawn()
            self.log_start = self.log.stat().st_size  # what it writes from here on is of this case
            self.events.put(Event(lane.name, case, start=True))
            child = self.child
            assert child is not None and child.stdin is not None
            message = lane.message(case, left, len(lane.waiting) + 1)
            child.stdin.write(json.dumps(message) + "\n")
            child.stdin.flush()
        except OSError as error:
            lane.deaths += 1
            self.kill()
            self._end(case, f"{lane.name}: can't start its process: {error}")
            return
        patience, started = min(lane.patience_s, left), self.now()
        until = started + patience
        while True:
            try:
                line = self.lines.get(timeout=max(0.05, min(1.0, until - self.now())))
            except queue.Empty:
                if self.over:
                    return
                if self.now() < until:
                    continue
                self.kill()
                short = patience < lane.patience_s
                reason = f"{NO_TIME} of {self.budget} spent in it" if short else ""
                self._end(case, reason or f"no answer within {patience:.0f} s",
                          self.now() - started)  # fmt: skip
                return
            if self._heard(case, line, started):
                return

    def _heard(self, case: Case | None, line: str | None, started: float) -> bool:
        """Whether the case is over."""
        lane = self.lane
        if line is None:
            lane.deaths += 1
            code = self.child.wait() if self.child else None
            self.kill()
            said = (self._said().strip().splitlines() or ["it said nothing"])[-1]
            reason = f"its process ended (exit code {code}): {said[:200]}"
            self._end(case, reason, self.now() - started)
            return True
        try:
            answer = json.loads(line)
            rows, end = answer.get("rows", []), bool(answer.get("end"))
        except (ValueError, AttributeError):
            return False  # something that a library printed
        if not end:
            self.events.put(
                Event(lane.name, case, rows=rows, facts=answer.get("facts"), log=self._said())
            )
            return False
        lane.deaths = 0
        reason = str(answer["reason"])
        if answer["spoilt"]:
            self._leave()
            reason = reason or "the CUDA context was spoilt by a fault in this case"
        self._end(case, reason, float(answer["seconds"]))
        return True

    def _said(self) -> str:
        try:
            with self.log.open("rb") as file:
                file.seek(max(self.log_start, self.log.stat().st_size - _TAIL))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _spawn(self) -> None:
        if self.child is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as errors:
            child = subprocess.Popen(
                self.lane.command, cwd=ROOT, env=dict(self.lane.environment), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        self.child, self.lines = child, queue.SimpleQueue()
        threading.Thread(target=hear, args=(child, self.lines), daemon=True).start()

    def _leave(self) -> None:
        """Lets the child end by itself: a checker reports what it found when it ends."""
        child = self.child
        if child is not None:
            with contextlib.suppress(OSError):
                assert child.stdin is not None
                child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=self.lane.stop_s)
        self.kill()

    def kill(self) -> None:
        child, self.child = self.child, None
        if child is None:
            return
        # A checker starts our process in turn: both are of a group that nothing else is in.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def plain(case: Case) -> dict[str, Any]:
    """A case as JSON takes it."""
    return dataclasses.asdict(case)
