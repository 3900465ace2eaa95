"""A run's record file as one process that can be compared: its times, its exact figures, its
trained networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.instruments.metrics import METRICS
from benchmarks.records import record_files
from benchmarks.records.loading import RecordError, Result, Training
from suites.schema import TRAINING_WORDS

from .. import reading, statistics
from ..reading import Measured as MeasuredCase
from ..statistics import FEWEST_ROUNDS
from .loading import Measured, NotComparable, Timing, too_few

# How a time was taken; rounds and warm-up may differ.
_WAYS = ("clock", "cache", "order", "synchronised")
_QUANTILE = 1.959964
# Taken once a process, a compilation included: no interval, so nothing to test two runs by.
ONCE = ("first_call_s",)


@dataclass(frozen=True)
class Key:
    """One figure of one contender in one case; ``of`` narrows the metric as in the record."""

    case: str
    contender: str
    metric: str
    of: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        more = " ".join(value for _, value in self.of)
        return " ".join(part for part in (self.case, self.contender, self.metric, more) if part)


@dataclass(frozen=True)
class Exact:
    """A figure that is no time, with its state and the version of what it was measured on."""

    value: float | None
    status: str
    reason: str
    version: int


@dataclass(frozen=True)
class Run:
    """``timed``: as `ratios.compare` takes it; ``exact``: errors too; ``trained``: by arm and
    metric the value of each seed, and ``untrained`` by arm the reason of each seed that gave none;
    ``not_run``: reasons by figure's name."""

    path: Path
    timed: Measured
    keys: Mapping[str, Key]
    exact: Mapping[Key, Exact]
    trained: Mapping[tuple[str, str], Mapping[int, float]]
    untrained: Mapping[str, Mapping[int, str]]
    not_run: Mapping[str, str]
    commits: tuple[str, ...] = ()
    dirty: bool = False
    measured_at: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    protected: bool = False

    @property
    def untimed(self) -> set[str]:
        """Figures' names: not run, or in too few rounds."""
        return {*self.not_run, *(n for n, timing in self.timed.timings.items() if timing.too_few)}


def file_of(path: Path) -> Path | None:
    """The record file that a path names: itself, or the one inside the folder. Raises
    NotComparable where there are two."""
    if path.is_file():
        return path if path.name.endswith(record_files.SUFFIXES) else None
    try:
        return record_files.find(path)
    except RecordError as error:
        raise NotComparable(str(error)) from None


def load(path: Path) -> Run:
    """Raises NotComparable where the file is damaged, empty, or of more than one machine."""
    file = file_of(path)
    if file is None:
        raise NotComparable(f"{path}: expected a run's folder or its records.jsonl")
    try:
        records = reading.load(file)
    except RecordError as error:
        raise NotComparable(str(error)) from None
    if len(records.machines) > 1:
        raise NotComparable(
            f"{path}: expected one machine and one set of versions; its sessions ran on "
            f"{len(records.machines)}: compare runs that were not resumed on another machine"
        )
    keys: dict[str, Key] = {}
    timings: dict[str, Timing] = {}
    exact: dict[Key, Exact] = {}
    not_run: dict[str, str] = {}
    for case, result in records.results():
        key = Key(result.case.id, result.contender, result.metric, _of(result))
        metric = METRICS.get(result.metric)
        if metric is None or result.metric in ONCE or not reading.is_interleaved(result):
            continue
        if result.status == "not_run":
            keys[key.name] = key
            not_run[key.name] = result.reason
        elif metric.kind != "timed":
            exact[key] = Exact(result.value, result.status, result.reason,
                               result.case.variant_version)  # fmt: skip
        elif not reading.is_interpreted(result) and result.rounds:
            keys[key.name] = key
            timings[key.name] = _timing(case, result)
    last = records.sessions[-1]
    trained, untrained = _trained(records.trainings)
    return Run(
        path, Measured(path, identity(records.machines[0]), timings), keys, exact,
        trained, untrained, not_run,
        tuple(dict.fromkeys(one.commit for one in records.sessions)),
        any(one.dirty for one in records.sessions), last.started_at, records.machines[0],
        records.protected,
    )  # fmt: skip


def identity(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A machine's identity with each version as a fact of its own."""
    versions = facts.get("versions")
    flat = {name: value for name, value in facts.items() if name != "versions"}
    if isinstance(versions, Mapping):
        flat |= {f"version of {name}": value for name, value in versions.items()}
    return flat


def _of(result: Result) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, v) for k, v in result.of.items() if k != "instrument"))


def _timing(case: MeasuredCase, result: Result) -> Timing:
    if result.status == "worse":
        return Timing(problem=f"the result is void: {result.reason or 'its check failed'}")
    if case.is_wrong(result.contender):
        return Timing(problem="it disagreed with the reference in this case")
    if len(result.rounds) < FEWEST_ROUNDS:
        return too_few(len(result.rounds))
    middle = statistics.median_interval(result.rounds)
    if middle is None or middle.low is None or middle.high is None:
        return Timing(problem="expected times in seconds above 0; got other values")
    error = math.log(middle.high / middle.low) / (2 * _QUANTILE)
    ways = tuple((name, str(result.protocol.get(name))) for name in _WAYS)
    version = ("version of the variant", result.case.variant_version)
    return Timing(math.log(middle.estimate), error, "", (version, *ways), case.case.id,
                  result.contender)  # fmt: skip


def _trained(
    trainings: tuple[Training, ...],
) -> tuple[dict[tuple[str, str], dict[int, float]], dict[str, dict[int, str]]]:
    found: dict[tuple[str, str], dict[int, float]] = {}
    without: dict[str, dict[int, str]] = {}
    for one in trainings:
        arm = one.arm or f"{one.loss}/{one.variant}"
        name = " ".join(part for part in (one.dataset, one.study, arm, one.contender) if part)
        if one.status != "ok":
            word = TRAINING_WORDS[one.status]
            without.setdefault(name, {})[one.seed] = f"{word}: {one.reason}" if one.reason else word
            continue
        for metric, value in one.metrics.items():
            if value is not None and metric in METRICS and METRICS[metric].kind == "quality":
                found.setdefault((name, metric), {})[one.seed] = value
    return found, without
