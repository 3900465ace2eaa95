"""Reads what can be compared; so far pytest-benchmark's JSON (written by version 5.3).

The fields are those of pytest-benchmark's documentation: ``machine_info``, ``version`` and for
each of ``benchmarks`` its ``fullname``, ``params``, ``options`` and ``stats`` in seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import record_files

from ..statistics import FEWEST_ROUNDS

# The quartiles of a normal distribution lie 1.349 standard deviations apart, and the median of n
# rounds has sqrt(pi / 2) times the standard error of their mean.
_QUARTILES_SD = 1.349
_MEDIAN_SE = math.sqrt(math.pi / 2)
# What makes two machines the same for a timed comparison. Host name, kernel release and clocks
# are information: they change with every container and say nothing of the speed.
_IDENTITY = ("system", "machine", "processor", "python_implementation", "python_version",
             "marginbench")  # fmt: skip
_CPU = ("brand_raw", "arch", "count")


class NotComparable(Exception):
    """A file, or two together, that no comparison can rest on; says what was expected."""


@dataclass(frozen=True)
class Timing:
    """One benchmark in one process. ``log_median``: of seconds; ``log_error``: its standard error
    inside the process. ``problem``: why it can't be compared, empty where it can; ``too_few``: the
    problem is its number of rounds and nothing that is wrong. ``case``: whose contenders were timed
    in the same minutes; empty where that is not known."""

    log_median: float = math.nan
    log_error: float = math.nan
    problem: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    case: str = ""
    contender: str = ""
    too_few: bool = False


@dataclass(frozen=True)
class Measured:
    """One file, which is one process. ``identity``: what bars a comparison where it differs."""

    path: Path
    identity: Mapping[str, Any]
    timings: Mapping[str, Timing]


def load(path: Path) -> Measured:
    """Raises NotComparable where the file is of no kind that is known, or holds nothing."""
    kind = kind_of(path)
    if kind not in LOADERS:
        raise NotComparable(f"{path}: expected pytest-benchmark's JSON; got {kind}")
    return LOADERS[kind](path)


def kind_of(path: Path) -> str:
    """What a path holds, in words: a key of `LOADERS` where it can be compared."""
    if path.is_dir() or path.name.endswith(record_files.SUFFIXES):
        return "records of MarginBench" if _holds_records(path) else "a folder without records"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        return "a file that is not JSON (truncated, or of another kind)"
    except OSError as error:
        return f"a file that can't be read ({error.strerror})"
    if isinstance(content, dict) and {"machine_info", "benchmarks"} <= content.keys():
        return "pytest-benchmark"
    return "JSON without machine_info and benchmarks"


def _holds_records(path: Path) -> bool:
    return path.is_file() or any((path / name).is_file() for name in record_files.FILES)


def _pytest_benchmark(path: Path) -> Measured:
    content = json.loads(path.read_text(encoding="utf-8"))
    machine, entries = content["machine_info"], content["benchmarks"]
    if not isinstance(machine, dict) or not isinstance(entries, list):
        raise NotComparable(f"{path}: expected an object machine_info and a list benchmarks")
    if not entries:
        raise NotComparable(f"{path}: expected benchmarks; it has none: an empty selection?")
    recorded = machine.get("cpu")
    cpu = recorded if isinstance(recorded, dict) else {}
    identity = {name: machine.get(name) for name in _IDENTITY}
    identity |= {f"cpu {name}": cpu.get(name) for name in _CPU}
    identity["pytest-benchmark"] = content.get("version")
    timings: dict[str, Timing] = {}
    for entry in entries:
        name = _name(path, entry)
        if name in timings:
            raise NotComparable(f"{path}: expected each benchmark once; got {name} twice")
        timings[name] = _timing(entry)
    return Measured(path, identity, timings)


def _name(path: Path, entry: Any) -> str:
    """``fullname``, with its parameters where the name does not show them already."""
    if not isinstance(entry, dict) or not isinstance(entry.get("fullname"), str):
        raise NotComparable(f"{path}: expected a fullname for each benchmark; got {entry!r:.80}")
    name, params = entry["fullname"], entry.get("params")
    if params and "[" not in name:
        name += f"[{json.dumps(params, sort_keys=True, default=str)}]"
    return name


def _timing(entry: Mapping[str, Any]) -> Timing:
    stats, options = entry.get("stats"), entry.get("options")
    if not isinstance(stats, dict):
        return Timing(problem="it has no stats")
    figures: dict[str, Any] = {name: stats.get(name) for name in ("median", "iqr", "rounds")}
    for name, value in figures.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            return Timing(problem=f"{name}: expected a number; got {value!r}")
    median, iqr, rounds = figures.values()
    bad = [value for value in stats.get("data") or () if not _is_time(value)]
    if not _is_time(median) or iqr < 0:
        return Timing(problem=f"median, iqr: expected a time in seconds; got {median!r}, {iqr!r}")
    if bad:
        return Timing(problem=f"data: expected times in seconds; got {bad[0]!r}")
    if rounds < FEWEST_ROUNDS:
        return too_few(rounds)
    error = _MEDIAN_SE * iqr / _QUARTILES_SD / math.sqrt(rounds) / median
    kept = options if isinstance(options, dict) else {}
    same = tuple((name, kept.get(name)) for name in ("timer", "disable_gc"))
    return Timing(math.log(median), error, options=same)


def too_few(rounds: float) -> Timing:
    """A timing whose rounds leave no interval."""
    problem = f"too few rounds: expected at least {FEWEST_ROUNDS}; got {rounds:g}"
    return Timing(problem=problem, too_few=True)


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


LOADERS: dict[str, Callable[[Path], Measured]] = {"pytest-benchmark": _pytest_benchmark}
