"""Trains a record's network again, and compares the two."""

from __future__ import annotations

import math
import pkgutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.instruments import machine
from benchmarks.instruments.metrics import is_timed
from benchmarks.records import record_files
from benchmarks.records.loading import Run, Training, load
from marginbench.spelling import meant
from suites.jobs import Job, Underway
from suites.schema import TRAINING_WORDS, TrainingResult

from . import workers

EQUAL, UNEQUAL, NOT_COMPARED = 0, 1, 3
_ABSENT = "absent"


class NotThere(ValueError):
    """The record does not hold a training of that name; names the nearest."""


@dataclass(frozen=True)
class Compared:
    """``metrics`` are those of the last epoch (name, recorded, again). ``differences`` are the
    figures that differ, of ``figures`` that were compared; ``largest`` says in a sentence by how
    much at most; ``others`` what of machine and versions differs. ``verdict`` says it all in a
    sentence, ``exit_code`` is 0, 1 or 3."""

    exit_code: int
    verdict: str
    figures: int
    metrics: list[tuple[str, float | None, float | None]]
    differences: list[str]
    others: list[str]
    largest: str = ""


def read(path: Path) -> Run:
    """The run in a record file, plain or packed by xz, or in the folder that holds one. Raises
    RecordError where there is none, or two, or it is damaged."""
    if path.is_dir():
        path = record_files.find(path) or path / record_files.FILE
    return load(path)


def find(run: Run, name: str) -> Training:
    """The training of that name; raises NotThere."""
    known = {one.name: one for one in run.trainings if one.job}
    if name not in known:
        raise NotThere(f"expected one of the {len(known)} trainings of the record; got {name!r}"
                       f"{meant(name, known)}")  # fmt: skip
    return known[name]


def again(
    recorded: Training,
    train: str = workers.TRAIN,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Compared:
    """Trains it in this process, from the beginning, and compares.

    ``progress(name, epoch, epochs)`` is called after each epoch.
    """

    def report(at: Underway) -> None:
        progress(at.result.name, at.epoch, at.epochs)

    job = Job.from_plain(recorded.job)
    with tempfile.TemporaryDirectory(prefix="marginbench-") as folder:
        result = pkgutil.resolve_name(train)(job, Path(folder), report)
    return compare(recorded, result)


def compare(recorded: Training, result: TrainingResult) -> Compared:
    """Whether every figure that time does not decide is equal bit for bit."""
    then, now = dict(_figures(recorded)), dict(_figures(result))
    unequal = [
        place
        for place in {**then, **now}
        if not _same(then.get(place, _ABSENT), now.get(place, _ABSENT))
    ]
    trained = "not_run" not in (recorded.status, result.status)
    pairs = {place: (then.get(place), now.get(place)) for place in unequal}
    largest = _largest(pairs) if trained else ""
    others = _others(recorded)
    metrics = [
        (name, recorded.metrics.get(name), result.metrics.get(name))
        for name in {**recorded.metrics, **result.metrics}
    ]
    if result.status == "not_run":
        code, verdict = NOT_COMPARED, f"it could not be trained: {result.reason}"
    elif recorded.status == "not_run":
        code, verdict = NOT_COMPARED, f"the record has no figures: {recorded.reason}"
    elif result.status != recorded.status:
        unequal.insert(0, "status")
        words = TRAINING_WORDS[recorded.status], TRAINING_WORDS[result.status]
        code, verdict = _unequal(f"{words[0]} in the record, {words[1]} now", others)
    elif unequal:
        what = f"{len(unequal)} of {len(then)} figures differ"
        code, verdict = _unequal(what, others)
    elif all(value is None for place, value in then.items() if place.split()[-1] != "epoch"):
        code, verdict = (
            NOT_COMPARED,
            f"nothing to compare: {TRAINING_WORDS[recorded.status]} without a figure, twice",
        )
    else:
        code, verdict = EQUAL, f"equal bit for bit: {len(then)} figures"
    return Compared(code, verdict, len(then), metrics, unequal, others, largest)


def _largest(pairs: Mapping[str, tuple[Any, Any]]) -> str:
    """The largest relative difference, to the larger of both, with its figure; and how many
    figures have none: in one of both absent, not finite or of another length."""
    found: list[tuple[float, str, float, float]] = []
    without = 0
    for place, (then, now) in pairs.items():
        numbers = _numbers(then), _numbers(now)
        if len(numbers[0]) != len(numbers[1]) or not numbers[0]:
            without += 1
            continue
        differences = ((_relative(a, b), place, a, b) for a, b in zip(*numbers, strict=True))
        found.append(max(differences))
    parts = [] if found else ["of none"]
    if found:
        share, place, then, now = max(found)
        parts = [f"{share:.2g}, of {place} ({then:.9g} in the record, {now:.9g} now)"]
    if without:
        parts.append(f"{without} without one: absent, not finite or of another length")
    return "; ".join(parts)


def _numbers(figure: Any) -> list[float]:
    """A number or a series of numbers; empty for what is none."""
    values = figure if isinstance(figure, list) else [figure]
    finite = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return finite if len(finite) == len(values) else []


def _relative(then: float, now: float) -> float:
    return abs(then - now) / (max(abs(then), abs(now)) or 1.0)


def _unequal(what: str, others: list[str]) -> tuple[int, str]:
    if others:
        return NOT_COMPARED, f"{what}, which another machine or other versions may explain"
    return UNEQUAL, f"{what}, on the same machine and versions"


def _others(recorded: Training) -> list[str]:
    """How machine and versions differ from the record's. Another commit is no excuse: the code may
    have changed what it computes."""
    then, found = recorded.provenance, []
    if then.machine != machine.name():
        found.append(f"machine: {then.machine}; here {machine.name()}")
    for name, version in machine.versions().items():
        if then.versions.get(name) != version:
            found.append(f"{name}: {then.versions.get(name)}; here {version}")
    return found


def _figures(of: TrainingResult) -> Iterator[tuple[str, Any]]:
    rows: list[tuple[str, Mapping[str, Any]]] = [
        (f"epoch {row.get('epoch', index):g} ", row) for index, row in enumerate(of.epochs)
    ]
    for where, row in (*rows, ("", of.metrics), ("series ", of.series)):
        for name, value in row.items():
            if not is_timed(name):
                yield where + name, value


def _same(then: Any, now: Any) -> bool:
    """JSON keeps every bit of a float; -0.0 is not 0.0."""
    return repr(then) == repr(now)
