"""From record files to series: one figure a commit, of one metric of one contender in one case.

Timed figures of two machines, or of two versions of torch or triton, never stand in one series.
Exact figures, errors and the quality of trained networks do: they are the code's. What was
measured with uncommitted changes belongs to no commit and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import benchmarks.records.loading
from benchmarks.instruments.metrics import METRICS
from benchmarks.records.loading import RecordError, Run

from ..reading import is_interleaved, is_interpreted

ANY = "any machine"


@dataclass(frozen=True, order=True)
class Key:
    """What makes a series one. ``machine``: in words for timed metrics, else `ANY`; ``family``:
    loss and variant, by which figures are gathered."""

    machine: str
    family: str
    metric: str
    case: str
    contender: str


@dataclass(frozen=True)
class Series:
    """``values[i]`` was measured at ``commits[i]``; in the metric's unit, the median where a
    commit was measured more than once."""

    key: Key
    commits: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def kind(self) -> str:
        return METRICS[self.key.metric].kind if self.key.metric in METRICS else "error"


@dataclass
class Gathered:
    """``measured_at``: when each commit was first measured. ``refused``: files that could not be
    read, each with the reason; ``dirty``: files left out for their uncommitted changes."""

    figures: dict[Key, dict[str, list[float]]] = field(default_factory=dict)
    measured_at: dict[str, str] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    dirty: list[Path] = field(default_factory=list)
    files: int = 0

    def series(self, order: Sequence[str]) -> list[Series]:
        found = []
        for key, by_commit in sorted(self.figures.items()):
            commits = tuple(commit for commit in order if commit in by_commit)
            values = tuple(float(median(by_commit[commit])) for commit in commits)
            found.append(Series(key, commits, values))
        return found


def gather(
    paths: Sequence[Path], report: Callable[[float, float, str], None] = lambda *_: None
) -> Gathered:
    """Reads each file; one that is damaged is named in ``refused`` and does not end it.
    ``report(share, 1, what)`` is called before each, with its share of the bytes."""
    gathered = Gathered()
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    total, done = sum(sizes) or 1, 0
    for path, size in zip(paths, sizes, strict=True):
        report(done / total, 1, f"reading {path.parent.name}")
        done += size
        try:
            run = benchmarks.records.loading.load(path)
        except RecordError as error:
            gathered.refused.append(str(error))
            continue
        _add(gathered, run, path)
    return gathered


def _add(gathered: Gathered, run: Run, path: Path) -> None:
    gathered.files += 1
    if any(session.dirty for session in run.sessions):
        gathered.dirty.append(path)
        return
    machine_of = {}
    for session in run.sessions:
        identity = json.dumps(session.identity, sort_keys=True, default=str)
        number = len(gathered.machines) + 1
        said = f"machine {number}: {session.identity.get('cpu')}, GPU {session.identity.get('gpu')}"
        machine_of[session.session] = gathered.machines.setdefault(identity, said)
    worst: dict[tuple[str, str, Key], float] = {}
    for commit, at, name, key, value in (*_results(run), *_trainings(run)):
        if commit == "unknown":
            continue
        gathered.measured_at[commit] = min(at, gathered.measured_at.get(commit, at))
        if METRICS[key.metric].kind == "timed":
            # A session that names no machine is on one of its own.
            machine = machine_of.get(name, f"unknown machine of session {name}")
            key = Key(machine, key.family, key.metric, key.case, key.contender)
        # Errors are recorded for each reduction and gradient: the history is that of the largest.
        at_once = (commit, name, key)
        worst[at_once] = max(value, worst.get(at_once, value))
    for (commit, _, key), value in worst.items():
        gathered.figures.setdefault(key, {}).setdefault(commit, []).append(value)


def _results(run: Run) -> Iterator[tuple[str, str, str, Key, float]]:
    for result in run.results:
        if result.value is None or result.metric not in METRICS or not is_interleaved(result):
            continue
        timed = METRICS[result.metric].kind == "timed"
        if timed and (result.status != "ok" or is_interpreted(result)):
            continue
        case, made = result.case, result.provenance
        contender = result.contender + (" (interpreted)" if is_interpreted(result) else "")
        family = f"{case.loss}/{case.variant} v{case.variant_version}"
        key = Key(ANY, family, result.metric, case.id, contender)
        yield made.commit, made.measured_at, result.session, key, result.value


def _trainings(run: Run) -> Iterator[tuple[str, str, str, Key, float]]:
    for training in run.trainings:
        made = training.provenance
        for metric, value in training.metrics.items():
            if value is not None and metric in METRICS and training.status == "ok":
                key = Key(ANY, f"{training.loss}/{training.variant}", metric, training.name,
                          training.contender)  # fmt: skip
                yield made.commit, made.measured_at, training.session, key, value
