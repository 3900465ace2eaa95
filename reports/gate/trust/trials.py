"""Reads the record of the gate's own trial: raw legs, verdicts and what they were taken on.

The file is `benchmarks/gate/trust.py`'s, as it is or compressed by xz. A trial that was killed may
have left some of its legs; they belong to nothing, and are counted and left out.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate.decision import Rule
from benchmarks.gate.records import current_name
from benchmarks.records import digests, record_files
from benchmarks.records.loading import RecordError

from . import FILES

LOADS = ("quiet", "loaded")
STAGES = ("screen", "confirmation")
_AGAIN = "run the trial again, which goes on from there, or restore the file from its commit"


@dataclass(frozen=True)
class Legs:
    """A case in one stage, that is in one process. ``groups``: for each group an array of shape
    (blocks, 4) with the seconds of two legs of the base and two of the candidate, ``calls`` calls
    each; ``log_ratios`` (groups,): the median over each group's blocks. ``seconds``: of timed
    work."""

    case: str
    stage: str
    calls: int
    seconds: float
    groups: tuple[np.ndarray, ...]
    log_ratios: np.ndarray
    retaken: int = 0
    interrupted: int = 0

    @property
    def pace(self) -> float:
        """Seconds of timed work a group."""
        return self.seconds / len(self.groups)

    def per_call(self) -> tuple[np.ndarray, np.ndarray]:
        """Seconds a call of every leg, in the order taken: base's, candidate's."""
        legs = np.concatenate(self.groups) / self.calls
        return legs[:, :2].ravel(), legs[:, 2:].ravel()


@dataclass(frozen=True)
class Trial:
    """One whole-suite verdict. ``fraction``: the slow-down put in, 0 for unchanged code;
    ``verdicts`` by case, as the gate records them; ``legs`` by case and stage."""

    id: str
    load: str
    fraction: float
    seconds: float
    at: str
    load_average: tuple[float, ...]
    verdicts: Mapping[str, Mapping[str, Any]]
    legs: Mapping[tuple[str, str], Legs]


@dataclass(frozen=True)
class Trust:
    """``sessions``: the lines as they are, one for each start of the trial."""

    sessions: tuple[Mapping[str, Any], ...]
    trials: tuple[Trial, ...]
    rule: Rule
    cases: tuple[str, ...]
    orphans: int = 0

    def of(self, load: str, fraction: float) -> list[Trial]:
        return [t for t in self.trials if t.load == load and t.fraction == fraction]

    @property
    def loads(self) -> list[str]:
        return [load for load in LOADS if any(t.load == load for t in self.trials)]

    def fractions(self, load: str) -> list[float]:
        """Of the slowed trials."""
        return sorted({t.fraction for t in self.trials if t.load == load and t.fraction})


def find(folder: Path) -> Path:
    """The record in a folder; raises RecordError where there is none, or two."""
    found = record_files.find(folder, FILES)
    if found is None:
        raise RecordError(f"{folder}: expected {' or '.join(FILES)}; found neither")
    return found


def read(path: Path) -> Trust:
    """Raises RecordError, with the line's number, where a line is cut off, damaged or foreign,
    where trials went by different rules, and where there is no trial."""
    reader = _Reader(path.name)
    for _ in digests.read(_texts(path), reader.take, reader.refused):
        pass  # it keeps what it takes
    return reader.trust()


def _texts(path: Path) -> Iterator[str]:
    try:
        with record_files.opened(path) as file:
            yield from file
    except FileNotFoundError:
        raise RecordError(f"{path}: there is no such file") from None
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise RecordError(f"{path.name}: can't be read: {error}; {_AGAIN}") from None


@dataclass
class _Reader:
    name: str
    sessions: list[dict] = field(default_factory=list)
    trials: dict[str, Trial] = field(default_factory=dict)
    # Legs stand before their trial's line; those of a trial that was killed are taken again.
    waiting: dict[str, dict[tuple[str, str], Legs]] = field(default_factory=dict)
    unit_s: float = 0.0

    def take(self, text: str) -> None:
        line = record_files.parsed(text)
        match line["kind"]:
            case "session":
                self._session(line)
            case "legs":
                legs = _legs(line, self.unit_s)
                self.waiting.setdefault(line["trial"], {})[legs.case, legs.stage] = legs
            case "trial":
                self._trial(line)
            case kind:
                raise ValueError(f"kind: expected session, legs or trial; got {kind!r}")

    def refused(self, number: int, text: str, error: Exception) -> RecordError:
        why = "is cut off" if isinstance(error, digests.CutOff) else f"is damaged: {error}"
        if isinstance(error, KeyError):
            why = f"is damaged: it has no {error}"
        return RecordError(f"{self.name}, line {number}: {why}; {_AGAIN}")

    def _session(self, line: dict) -> None:
        first = self.sessions[0] if self.sessions else line
        Rule(**line["rule"])
        for name in ("rule", "cases", "unit_ns"):
            if line[name] != first[name]:
                raise ValueError(
                    f"{name}: expected {first[name]!r}, as in the first session, or the trials "
                    f"can't be counted together; got {line[name]!r}"
                )
        self.sessions.append(line)
        self.unit_s = line["unit_ns"] * 1e-9

    def _trial(self, line: dict) -> None:
        verdicts = {
            one["case"]: {**one, "verdict": current_name(one["verdict"])}
            for one in line["verdicts"]
        }
        if not self.sessions or set(verdicts) != set(self.sessions[0]["cases"]):
            raise ValueError("verdicts: expected one of each case that the session names")
        if line["load"] not in LOADS:
            raise ValueError(f"load: expected {' or '.join(LOADS)}; got {line['load']!r}")
        for verdict in verdicts.values():
            if not isinstance(verdict["verdict"], str) or not verdict["seconds"] >= 0:
                raise ValueError("verdicts: expected a word and seconds")
        self.trials[line["trial"]] = Trial(
            line["trial"], line["load"], float(line["fraction"]), float(line["seconds"]),
            line["at"], tuple(line["load_average"]), verdicts,
            self.waiting.pop(line["trial"], {}),
        )  # fmt: skip

    def trust(self) -> Trust:
        if not self.trials:
            raise RecordError(f"{self.name}: holds no trial that ended; run the trial first")
        first = self.sessions[0]
        return Trust(
            tuple(self.sessions), tuple(self.trials.values()), Rule(**first["rule"]),
            tuple(first["cases"]), sum(map(len, self.waiting.values())),
        )  # fmt: skip


def _legs(line: dict, unit_s: float) -> Legs:
    if line["stage"] not in STAGES:
        raise ValueError(f"stage: expected {' or '.join(STAGES)}; got {line['stage']!r}")
    groups = tuple(np.asarray(group, dtype=float) for group in line["legs"])
    for group in groups:
        if group.ndim != 2 or group.shape[1] != 4 or not (group > 0).all():
            raise ValueError("legs: expected blocks of four positive figures")
    if groups and not (line["seconds"] > 0 and line["calls"] >= 1 and unit_s > 0):
        raise ValueError("legs: expected seconds, calls and the session's unit above 0")
    logs = [np.median(0.5 * (np.log(g[:, 2:]) - np.log(g[:, :2])).sum(axis=1)) for g in groups]
    return Legs(
        line["case"], line["stage"], line["calls"], float(line["seconds"]),
        tuple(group * unit_s for group in groups), np.array(logs), line["retaken"],
        line["interrupted"],
    )  # fmt: skip
