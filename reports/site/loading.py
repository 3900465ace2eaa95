"""Reads a record file as `reports.reading.load` does, in a third of the memory: what many lines
share (case, provenance, protocol) is kept once."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import benchmarks.records
from benchmarks.records import Line, Provenance, Result

from .. import reading
from ..reading import Records


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Cycles of garbage are looked for seldom, inside: records and figures are so many objects that
    looking took a tenth of the time. Few hold cycles, so that memory grows by little."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def load(path: Path) -> Records:
    """Raises RecordError where the file is missing, damaged, of another schema or a dry run's."""
    run = benchmarks.records.arrange(_shared(benchmarks.records.read_lines(path)))
    return reading.arrange(benchmarks.records.measured(run, path), path)


def _shared(lines: Iterable[Line]) -> Iterator[Line]:
    kept: dict[Any, Any] = {}
    for line in lines:
        if isinstance(line, Result):
            # The models are frozen, not their dictionaries: an equal part stands for the other.
            fields = line.__dict__
            fields["case"] = kept.setdefault(line.case, line.case)
            fields["provenance"] = kept.setdefault(_of(line.provenance), line.provenance)
            for name in ("protocol", "of"):
                # As it is written: what differs in the order of its entries is kept twice.
                key = (name, repr(fields[name]))
                fields[name] = kept.setdefault(key, fields[name])
        yield line


def _of(made: Provenance) -> tuple[Any, ...]:
    versions = tuple(sorted(made.versions.items()))
    return (made.commit, made.dirty, made.machine, made.command, made.measured_at, versions)
