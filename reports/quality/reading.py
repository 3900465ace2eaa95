"""From a quality run's record file to what its page asks of it: trainings by study and arm.

The file is `benchmarks.records.loading`', as it is or compressed by xz.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.records import record_files
from benchmarks.records.loading import RecordError, Training

from ..paths import IN_CLONE, ROOT
from ..reading import Records, load
from ..sections.context import slug, unique

ROOM = "quality"
DIVISIONS = ("closed", "open")
CLAIMS = "claims/"
SEARCH = "search"


@dataclass(frozen=True)
class Group:
    """The seeds of one arm of a study on one dataset: a row of a table. ``label`` is the arm, with
    the contender or the device where the group beside it has another."""

    label: str
    trainings: tuple[Training, ...]

    @property
    def ran(self) -> list[Training]:
        """Those whose figures count: trained to the end, without diverging."""
        return [one for one in self.trainings if one.status == "ok"]

    @property
    def first(self) -> Training | None:
        """The lowest seed: what is drawn of one network alone, whatever came of it."""
        return min(self.ran, key=lambda one: one.seed, default=None)


@dataclass(frozen=True)
class Quality:
    """``where`` is the record file as it is typed (`typed`)."""

    records: Records
    where: str

    @property
    def trainings(self) -> tuple[Training, ...]:
        return self.records.trainings

    @cached_property
    def _anchors(self) -> dict[str, str]:
        names = [one.name for one in self.trainings]
        return dict(zip(names, unique([slug("run", name) for name in names]), strict=True))

    def anchor(self, training: Training) -> str:
        """The row of this training in the table of runs."""
        return self._anchors[training.name]

    def link(self, training: Training) -> str:
        return f"#{self.anchor(training)}"

    def of_study(self, study: str, dataset: str | None = None) -> list[Training]:
        return [t for t in self.trainings if t.study == study and dataset in (None, t.dataset)]

    def tables(self) -> list[tuple[str, str]]:
        """(division, dataset) of each table, in the order trained."""
        found = dict.fromkeys((t.study, t.dataset) for t in self.trainings)
        return [key for division in DIVISIONS for key in found if key[0] == division]

    def claimed(self) -> list[str]:
        """Names of claims that any training says it belongs to."""
        studies = dict.fromkeys(t.study for t in self.trainings if t.study.startswith(CLAIMS))
        return [study.removeprefix(CLAIMS) for study in studies]

    def labels(self) -> list[str]:
        """Of all rows of the divisions' tables: what has a style of its own."""
        found = (group.label for key in self.tables() for group in groups(self.of_study(*key)))
        return list(dict.fromkeys(found))


def groups(trainings: Iterable[Training]) -> list[Group]:
    """In the order trained; call it with one dataset's trainings of one study."""
    rows = list(trainings)
    contenders = {one.contender for one in rows}
    devices = {device_of(one) for one in rows}
    found: dict[str, list[Training]] = {}
    for one in rows:
        parts = [one.arm or f"{one.loss}/{one.variant}".rstrip("/")]
        parts += [one.contender] * (len(contenders) > 1)
        parts += [device_of(one)] * (len(devices) > 1)
        found.setdefault(", ".join(parts), []).append(one)
    return [Group(label, tuple(sorted(seeds, key=lambda t: t.seed)))
            for label, seeds in found.items()]  # fmt: skip


def device_of(training: Training) -> str:
    """Empty for records that do not say."""
    return str(training.job.get("device", ""))


def series(training: Training, *names: str) -> list[Sequence[float]] | None:
    """Lists of equal length by name; None where one is missing, empty or of another length."""
    found = [training.series.get(name, []) for name in names]
    whole = all(found) and len({len(values) for values in found}) == 1
    return list(found) if whole else None


def find(folder: Path) -> Path:
    """The record file of a run's folder. Raises RecordError where there is none, or both."""
    found = record_files.find(folder)
    if found is None:
        raise RecordError(
            f"records: expected {' or '.join(record_files.FILES)} in {folder}; found neither: "
            "make one with: marginbench quality run"
        )
    return found


def read(folder: Path) -> Quality:
    """Raises RecordError where the record file is missing, cut off, empty or not one of ours."""
    path = find(folder)
    return Quality(load(path), typed(path))


def typed(path: Path) -> str:
    """A record file as it is typed from the root of the clone; one outside it is named alone.

    A packed one in a folder of ``quality`` is a published one, and named where those lie in a
    clone, wherever this copy does: a published page says the same after it was moved.
    """
    absolute = path.resolve()
    if path.name == record_files.PACKED and absolute.parent.parent.name == ROOM:
        return f"{IN_CLONE.as_posix()}/{ROOM}/{absolute.parent.name}/{path.name}"
    return str(absolute.relative_to(ROOT)) if absolute.is_relative_to(ROOT) else path.name
