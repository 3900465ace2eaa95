"""From the record file to what a report asks of it: cases with their results, training runs.

`benchmarks.records.loading.load` has left out what does not count (cases that did not end, what was
measured again); here its results are put together by case, in the order of the plan.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmarks.records.loading
from benchmarks.records import record_files
from benchmarks.records.loading import RecordError, Result, Run, Session, Training
from suites.interval import Interval
from suites.schema import CaseKey

from . import statistics
from .grouping import grouped

PASSES = ("both_time_s", "forward_time_s", "backward_time_s")
REFERENCE = "reference"
BASE = "eager"


@dataclass(frozen=True)
class Measured:
    """One ended case of one session: ``machine`` is the index of the machine it ran on."""

    case: CaseKey
    session: str
    machine: int
    results: tuple[Result, ...]

    def contenders(self) -> list[str]:
        """In the order they were recorded."""
        return list(dict.fromkeys(result.contender for result in self.results))

    def of_metric(self, *metrics: str, contender: str | None = None) -> list[Result]:
        return [
            result
            for result in self.results
            if result.metric in metrics and contender in (None, result.contender)
        ]

    @functools.cached_property
    def _by_name(self) -> Mapping[tuple[str, str], list[Result]]:
        """By contender and metric: `figure` is asked for far more often than there are results."""
        return grouped(self.results, lambda result: (result.contender, result.metric))

    def figure(self, contender: str, metric: str) -> Result | None:
        """The measured result that the report rests on: interleaved, never the interpreter's, and
        not one whose check failed."""
        for result in self._by_name.get((contender, metric), ()):
            usable = result.status == "ok" and (result.rounds or result.value is not None)
            if usable and is_interleaved(result) and not is_interpreted(result):
                return result
        return None

    def value(self, contender: str, metric: str) -> float | None:
        figure = self.figure(contender, metric)
        return figure.value if figure else None

    def rounds(self, contender: str, metric: str) -> Sequence[float]:
        """Of what was measured once, that; of what was not, none."""
        figure = self.figure(contender, metric)
        return () if figure is None else figure.rounds or [figure.value or 0.0]

    def median(self, contender: str, metric: str) -> Interval | None:
        return statistics.median_interval(self.rounds(contender, metric))

    def is_wrong(self, contender: str) -> bool:
        """Whether it disagreed with the reference in this very case."""
        return any(
            result.status == "worse" for result in self.results if result.contender == contender
        )

    @property
    def size(self) -> str:
        case = self.case
        return f"B={case.batch:,} D={case.dim:,} C={case.classes:,}{case.own_sizes}"


Row = tuple[Measured, Result]


@dataclass(frozen=True)
class Records:
    """``planned``: what any of the run's sessions was to measure; ``finished``: the last session
    reached its end; ``protected``: each line has a digest.

    ``machines`` holds each machine's identity once; two sessions share one only if theirs is
    equal in every field.
    """

    sessions: tuple[Session, ...]
    cases: tuple[Measured, ...]
    trainings: tuple[Training, ...]
    planned: tuple[str, ...]
    ended: frozenset[str]
    finished: bool
    protected: bool
    machines: tuple[Mapping[str, object], ...]

    @property
    def missing(self) -> list[str]:
        """Planned, and not there."""
        trained = {training.name for training in self.trainings}
        return [name for name in self.planned if name not in self.ended and name not in trained]

    def results(self, status: str = "", metrics: Collection[str] = ()) -> Iterator[Row]:
        """The tidy table: every result with its case, or those of a status or of some metrics."""
        for measured in self.cases:
            for result in measured.results:
                if status in ("", result.status) and (not metrics or result.metric in metrics):
                    yield measured, result

    def contenders(self) -> list[str]:
        return list(
            dict.fromkeys(
                [result.contender for _, result in self.results()]
                + [training.contender for training in self.trainings]
            )
        )


def _says(result: Result, word: str) -> bool:
    return any(word in str(text).lower() for text in (*result.of.values(), *_flat(result.protocol)))


def _flat(protocol: Mapping[str, object]) -> Iterator[str]:
    for name, value in protocol.items():
        if isinstance(value, str):
            yield value
        elif value is True:
            yield name


def is_interpreted(result: Result) -> bool:
    """Triton's interpreter computed it: right or wrong is measured, speed is not."""
    return _says(result, "interpret")


def is_interleaved(result: Result) -> bool:
    """Not pytest-benchmark's, which times one contender after the other."""
    return not _says(result, "pytest")


def load(path: Path) -> Records:
    """Raises RecordError where the file is missing, cut off, empty or not a record."""
    return arrange(benchmarks.records.loading.load(path), path)


def arrange(run: Run, path: Path) -> Records:
    if not run.sessions:
        raise RecordError(
            f"records: expected a session line in {path}; there is none, so it holds no run; "
            "measure again with: marginbench run"
        )
    machines: dict[str, int] = {}
    machine_of: dict[str, int] = {}
    for session in run.sessions:
        key = json.dumps(session.identity, sort_keys=True, default=str)
        machine_of[session.session] = machines.setdefault(key, len(machines))
    found = grouped(run.results, lambda result: result.case.id)
    planned = list(dict.fromkeys(name for session in run.sessions for name in session.plan))
    # In the order of the plan, which is by loss, and not that of measuring, cheapest first.
    rank = {name: place for place, name in enumerate(planned)}
    cases = []
    for name in sorted(found, key=lambda name: rank.get(name, len(rank))):
        first = found[name][0]
        # A session whose line is missing is on a machine of its own.
        machine = machine_of.setdefault(first.session, len(machine_of) + len(machines))
        cases.append(Measured(first.case, first.session, machine, tuple(found[name])))
    return Records(
        sessions=run.sessions,
        cases=tuple(cases),
        trainings=run.trainings,
        planned=tuple(planned),
        ended=run.ended,
        finished=run.complete,
        protected=run.protected,
        machines=tuple(json.loads(key) for key in machines),
    )


def stored(folders: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Every record file in the folders and below, by path, with its `record_files.head`: one of
    each run, which may lie where it was measured, where it is published, and in the site. Of copies
    the one that lies highest; a file that names no run stands for itself."""
    paths = {path for folder in folders for name in record_files.FILES
             for path in folder.rglob(name)}  # fmt: skip
    found: dict[str | Path, tuple[Path, dict[str, Any]]] = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        first = record_files.head(path)
        run = first.get("run")
        found.setdefault(run if isinstance(run, str) and run else path, (path, first))
    return sorted(found.values(), key=lambda one: one[0])
