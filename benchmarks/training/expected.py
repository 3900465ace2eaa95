"""How long trainings are expected to take: for their order and the time left, never a limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from suites.datasets.catalogue import find
from suites.jobs import Job

_UNKNOWN_S = 60.0  # an epoch of a dataset that an old record names, say


class Expected:
    """Seconds by dataset, backbone and loss, from those that have ended."""

    def __init__(self) -> None:
        self._took: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def took(self, job: Job, seconds: float) -> None:
        """A training has ended after so many seconds."""
        per_epoch = seconds / max(1, job.settings.epochs)
        for key in _keys(job):
            self._took[key].append(per_epoch)

    def seconds(self, job: Job) -> float:
        """By the nearest that was measured: the same loss on the same data, else any loss on it."""
        epochs = max(1, job.settings.epochs)
        for key in _keys(job):
            if key in self._took:
                return epochs * sum(self._took[key]) / len(self._took[key])
        declared = find(job.dataset)
        return epochs * (declared.epoch_s if declared else _UNKNOWN_S)

    def ordered(self, jobs: Iterable[Job]) -> list[Job]:
        """The first seed of everything before the second of anything, so that a run that ends
        early has found out the most and soon knows how long the rest takes; within a seed the
        longest first, so that the workers end together."""
        jobs = list(jobs)
        rank: dict[str, int] = {}
        turns: dict[tuple[str, ...], int] = defaultdict(int)
        for job in sorted(jobs, key=lambda job: job.seed):
            of = (job.study, job.arm, job.dataset, job.contender, job.device)
            rank[job.name] = turns[of]
            turns[of] += 1
        return sorted(jobs, key=lambda job: (rank[job.name], -self.seconds(job)))


def _keys(job: Job) -> list[tuple[str, ...]]:
    data = (job.dataset, job.settings.backbone)
    return [(*data, job.loss, job.settings.partners), (*data, job.loss), data]
