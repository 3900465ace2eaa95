"""What is still to be trained, in which order, and how long it should take."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from benchmarks.records.files import NO_ROOM
from suites.jobs import Job, at_fault
from suites.schema import TrainingResult

from .expected import Expected
from .planning import Plan, Search
from .workers import not_run

# How a reason begins that is an exception; a plain sentence says what this machine lacks.
_EXCEPTION = re.compile(r"\w*(Error|Exception)\b")
# What a machine lacks may end in an exception too: memory, or room on its disk.
_LACKS = re.compile(rf"MemoryError\b|OSError: \[Errno ({'|'.join(map(str, NO_ROOM))})\]")


def failed(result: TrainingResult) -> bool:
    """Whether there is no result by a fault, and not by what this machine lacks."""
    if result.status != "not_run" or _LACKS.match(result.reason):
        return False
    return bool(_EXCEPTION.match(result.reason) or result.reason.startswith(DIED))


DIED = "the process that trained it"


class Queue:
    """``before`` are the trainings of earlier sessions. Those that have a result are not handed out
    again, but given to the search that asked for them; unless they were trained with other settings
    under the same name, as a trial is whose predecessor had another result."""

    def __init__(self, plan: Plan, before: Iterable[TrainingResult] = ()) -> None:
        self._plan = plan
        self._expected = Expected()
        self._finished = {one.name: one for one in before if one.status != "not_run"}
        self._ready: deque[Job] = deque()
        self._waiting: dict[str, Search] = {}  # a search by its trial that is under way
        self._trials: deque[Job] = deque()
        self._abandoned: list[TrainingResult] = []
        self._running: dict[str, Job] = {}
        self.total, self.done = plan.total, 0
        self._add(plan.jobs)
        self._asked = {id(search): 0 for search in plan.searches}
        for search in plan.searches:
            self._advance(search)

    @property
    def over(self) -> bool:
        return not (self._ready or self._trials or self._running or self._abandoned)

    def next(self) -> Job | None:
        """What to train now; None while there is nothing but what runs already. A search's trials
        go first: they can't run side by side, and more comes after them."""
        ready = self._trials or self._ready
        if not ready:
            return None
        job = ready.popleft()
        self._running[job.name] = job
        return job

    def ended(self, result: TrainingResult, seconds: float) -> None:
        """``result`` is that of a job that was handed out."""
        job = self._running.pop(result.name)
        self.done += 1
        if result.status == "ok":
            self._expected.took(job, seconds)
        search = self._waiting.pop(job.name, None)
        if result.status == "not_run" and result.reason.startswith(at_fault(job.dataset)):
            self._abandon_dataset(job.dataset, result.reason)
        if search is None:
            return
        if result.status == "not_run" and not failed(result):
            self._abandon(search, result.reason)
            return
        search.tell(result)
        self._advance(search)

    def abandoned(self) -> list[TrainingResult]:
        """Results of what can't be trained as its search or its dataset can't be; each once."""
        found, self._abandoned = self._abandoned, []
        self.done += len(found)
        return found

    def left_s(self, processes: int, shares: dict[str, float]) -> float:
        """Seconds to the end; ``shares`` says how much of what runs is done, by name."""
        running = [
            self._expected.seconds(job) * (1 - shares.get(name, 0.0))
            for name, job in self._running.items()
        ]
        waiting = [self._expected.seconds(job) for job in (*self._trials, *self._ready)]
        work = sum(running) + sum(waiting) + sum(map(self._later_s, self._waiting.values()))
        return max([work / processes, *running], default=0.0)

    def _known(self, job: Job) -> TrainingResult | None:
        known = self._finished.get(job.name)
        return known if known and Job.from_plain(known.job) == job else None

    def _later_s(self, search: Search) -> float:
        """What a search asks for after the trial that is under way."""
        found = [self._expected.seconds(job) for job in self._plan.found_by(search)]
        trials = search.trials - self._asked[id(search)]
        return sum(found) + trials * (found[0] if found else 0.0)

    def _add(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if self._known(job):
                self.done += 1
            else:
                self._ready.append(job)
        self._ready = deque(self._expected.ordered(self._ready))

    def _advance(self, search: Search) -> None:
        """To the search's next trial that has no result yet, or to what it found."""
        while (job := search.ask()) is not None:
            self._asked[id(search)] += 1
            known = self._known(job)
            if known is None:
                self._waiting[job.name] = search
                self._trials.append(job)
                return
            search.tell(known)
            self.done += 1
        self._is_over(search)
        self._add(self._plan.found_by(search))

    def _abandon_dataset(self, dataset: str, reason: str) -> None:
        """What waits for a damaged dataset would only find it out again, one by one."""
        jobs = [job for job in self._ready if job.dataset == dataset]
        trials = [job for job in self._trials if job.dataset == dataset]
        self._ready = deque(job for job in self._ready if job.dataset != dataset)
        self._trials = deque(job for job in self._trials if job.dataset != dataset)
        self._abandoned += [not_run(job, reason) for job in (*jobs, *trials)]
        for trial in trials:
            self._abandon(self._waiting.pop(trial.name), reason)

    def _abandon(self, search: Search, reason: str) -> None:
        self._is_over(search)
        jobs = self._plan.found_by(search)
        self._abandoned += [not_run(job, reason) for job in jobs if not self._known(job)]
        self.done += sum(self._known(job) is not None for job in jobs)

    def _is_over(self, search: Search) -> None:
        """Trials that it will not ask for any more are none of the run's."""
        self.total -= search.trials - self._asked[id(search)]
