"""What is published: folders of records, each with what they are and where they lie.

::

    published/<machine>/records.jsonl.xz          a run of the suites; machine.json beside it
    published/quality/<name>/records.jsonl.xz     a run of training quality
    published/gate-trust/<name>/trust.jsonl.xz    the gate's own trial
    published/auto/<name>/records.jsonl.xz        a run of the suite auto, with its verdict; no
                                                  page of the site shows it
    published/who-computes.json                   public implementations against our variants
    published/sampled-loss.json                   what sampling classes costs
    published/site                                the site of all these, and whatever is drawn
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.records import record_files
from benchmarks.records.loading import RecordError

from ..gate.trust import FILES as TRUST_FILES
from ..paths import IN_CLONE
from ..sections.context import slug, unique

SITE, QUALITY, GATE, AUTO = "site", "quality", "gate-trust", "auto"
MACHINE_FILE = "machine.json"
# Records that are one file, each written by a program of its name.
PROGRAMS = ("who-computes", "sampled-loss")
# From the site's root: where the records lie that it is beside, or copies of them.
BESIDE, COPIES = "..", "data"
# "measured" says when and how the rates were taken; the machine's page shows it.
_FIELDS = {"schema_version", "title", "description", "rates", "measured"}


class NothingPublished(RecordError):
    """There is no record to make a site of."""


@dataclass(frozen=True)
class Folder:
    """One published folder: ``name`` is an id and a file's name, ``shown`` the folder's own;
    ``place`` is its path in what is published, which lies ``at`` a place from the site's root."""

    name: str
    shown: str
    path: Path
    records: Path
    place: str
    at: str

    @property
    def typed(self) -> Path:
        """The record file in a clone, wherever this copy lies: a site says the same after it was
        moved."""
        return IN_CLONE / self.place / self.records.name

    def address(self, name: str) -> str:
        """Of a file of the folder, from the site's root."""
        return quote(f"{self.at}/{self.place}/{name}")


@dataclass(frozen=True)
class Published:
    """``at``: as of `Folder`; ``left_out``: folders that hold no records."""

    root: Path
    at: str
    machines: tuple[Folder, ...]
    quality: tuple[Folder, ...]
    gate: tuple[Folder, ...]
    left_out: tuple[str, ...] = ()

    def files(self) -> Iterator[Path]:
        """Everything that the site is made of."""
        for folder in (*self.machines, *self.quality, *self.gate):
            for path in (folder.records, folder.path / MACHINE_FILE):
                if path.is_file():
                    yield path
        yield from self.programs

    @property
    def programs(self) -> tuple[Path, ...]:
        """The records of `PROGRAMS` that there are."""
        return tuple(path for name in PROGRAMS if (path := self.root / f"{name}.json").is_file())


@dataclass(frozen=True)
class MachineFile:
    """What is said of a machine beside its records. ``rates``: bytes and operations a second that
    it was measured to reach; ``measured``: when, how, with the rounds. ``missing``: there is no
    such file; ``foreign``: the other machine that the rates were measured on."""

    title: str = ""
    description: str = ""
    rates: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    missing: bool = False
    foreign: str = ""


def find(root: Path, at: str = BESIDE) -> Published:
    """Raises RecordError where the folder is missing, and `NothingPublished` where it is empty."""
    if not root.is_dir():
        raise RecordError(f"published records: expected a folder; {root} is not there")
    machines, left_out = [], []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name in (SITE, QUALITY, GATE, AUTO) or folder.name.startswith("."):
            continue
        records = record_files.find(folder)
        if records:
            machines.append((folder, records))
        else:
            left_out.append(folder.name)
    quality = _inside(root / QUALITY, record_files.FILES, left_out)
    gate = _inside(root / GATE, TRUST_FILES, left_out)
    if not machines and not quality and not gate:
        raise NothingPublished(
            f"published records: expected {record_files.PACKED} in a folder of {root}; there is "
            "none: measure with: marginbench run --rigorous"
        )
    runs, trained, trials = (_folders(root, at, found) for found in (machines, quality, gate))
    return Published(root, at, runs, trained, trials, tuple(left_out))


def _inside(root: Path, names: tuple[str, ...], left_out: list[str]) -> list[tuple[Path, Path]]:
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        records = record_files.find(folder, names)
        if records:
            found.append((folder, records))
        elif folder.is_dir():
            left_out.append(f"{root.name}/{folder.name}")
    return found


def _folders(root: Path, at: str, found: list[tuple[Path, Path]]) -> tuple[Folder, ...]:
    names = unique([slug(folder.name) for folder, _ in found])
    return tuple(
        Folder(name, folder.name, folder, records, folder.relative_to(root).as_posix(), at)
        for name, (folder, records) in zip(names, found, strict=True)
    )


def machine_file(folder: Path) -> MachineFile:
    """Raises RecordError where the file is there and is not one of ours."""
    path = folder / MACHINE_FILE
    if not path.is_file():
        return MachineFile(missing=True)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"machine file: {path}: expected JSON; {error}") from None
    if not isinstance(facts, dict) or facts.get("schema_version") != 1:
        got = facts.get("schema_version") if isinstance(facts, dict) else type(facts).__name__
        raise RecordError(f"machine file: {path}: expected schema version 1; got {got!r}")
    unknown = sorted(set(facts) - _FIELDS)
    if unknown:
        raise RecordError(
            f"machine file: {path}: expected {', '.join(sorted(_FIELDS))}; got {unknown[0]}"
        )
    rates = facts.get("rates", {})
    if not isinstance(rates, dict) or not all(_positive(rate) for rate in rates.values()):
        raise RecordError(f"machine file: {path}: rates: expected numbers above 0 by name")
    measured = facts.get("measured", {})
    return MachineFile(
        str(facts.get("title", "")), str(facts.get("description", "")), rates,
        measured if isinstance(measured, dict) else {},
    )  # fmt: skip


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
