"""Children that work side by side, each on one case at a time, until a deadline.

A lane is a queue of cases and one or more children that take from it. Whatever a child does (crash,
hang, print nonsense, fail to start), its case gets a reason, and the lane continues with another
child; only a lane whose children keep dying is given up.
"""

from __future__ import annotations

import collections
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suites.cases import Case

from ..processes import Ended, Program
from .journal import NO_TIME

# A lane is given up after this many deaths of its children without an answer in between.
_DEATHS = 3


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
            slot.stop()


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
        self.lane, self.deadline, self.budget = lane, deadline, budget
        self.now, self.events = now, events
        self.log = lane.log.with_name(f"{lane.log.name}-{number}.err")
        self.child: Program | None = None
        self.over = False

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
            if self.child is not None:
                # By itself: a checker reports what it found when it ends.
                self.child.leave(lane.stop_s)
            self.events.put(None)

    def _case(self, case: Case | None, left: float) -> None:
        lane, started = self.lane, self.now()
        try:
            child = self.child = self.child or Program(lane.command, lane.environment, self.log)
        except OSError as error:
            lane.deaths += 1
            self._end(case, f"{lane.name}: can't start its process: {error}")
            return
        self.events.put(Event(lane.name, case, start=True))
        child.send(lane.message(case, left, len(lane.waiting) + 1))
        patience, started = min(lane.patience_s, left), self.now()
        until = started + patience
        try:
            while not self.over:
                answer = child.receive(max(0.05, min(1.0, until - self.now())))
                if answer is None and self.now() >= until:
                    raise TimeoutError
                if answer is not None and answer.get("end"):
                    self._answered(case, answer, child)
                    return
                if answer is not None:
                    rows, facts = answer.get("rows", []), answer.get("facts")
                    self.events.put(Event(lane.name, case, rows=rows, facts=facts, log=child.said))
            return
        except TimeoutError:
            short = patience < lane.patience_s
            reason = f"{NO_TIME} of {self.budget} spent in it" if short else ""
            reason = reason or f"no answer within {patience:.0f} s"
        except Ended as ended:
            lane.deaths += 1
            said = (child.said.strip().splitlines() or ["it said nothing"])[-1]
            reason = f"{ended}: {said[:200]}"
        child.kill()
        self._end(case, reason, self.now() - started)
        self.child = None

    def _answered(self, case: Case | None, answer: Mapping[str, Any], child: Program) -> None:
        self.lane.deaths = 0
        reason = str(answer["reason"])
        if answer["spoilt"]:
            child.leave(self.lane.stop_s)
            reason = reason or "the CUDA context was spoilt by a fault in this case"
        self._end(case, reason, float(answer["seconds"]))
        if answer["spoilt"]:
            self.child = None

    def _end(self, case: Case | None, reason: str, seconds: float = 0.0) -> None:
        log = self.child.said if self.child else ""
        self.events.put(
            Event(self.lane.name, case, end=True, reason=reason, seconds=seconds, log=log)
        )

    def stop(self) -> None:
        self.over = True
        if self.child is not None:
            self.child.kill()


def plain(case: Case) -> dict[str, Any]:
    """A case as JSON takes it."""
    return dataclasses.asdict(case)
