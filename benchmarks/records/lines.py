"""The lines of a record, and what any of them may say.

By the standard library alone, so that a machine that has only torch can write them.
"""

from __future__ import annotations

import json
import math
import shlex
import statistics
from dataclasses import dataclass
from typing import Any, Literal

from suites.schema import CaseKey, Row, Status, TrainingResult

from ..instruments import metrics

SCHEMA_VERSION: Literal[2] = 2
# Of lines without a digest.
UNPROTECTED = 1

# The median of an even number of rounds is one sum and one halving; half an ulp each, with room.
_MEDIAN_TOLERANCE = 4 * 2.0**-52
# What a case or a run can take.
_MOST_SECONDS = 1e9
_CHANGED = "the line was changed after it was measured; measure the case again"


@dataclass(frozen=True, kw_only=True)
class Protected:
    """A line whose file gives it a digest. ``kind`` says which it is."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    digest: str = ""

    def text(self) -> str:
        """The line as JSON, without its digest."""
        fields = {name: value for name, value in vars(self).items() if name != "digest"}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False,
                          default=_plain)  # fmt: skip

    @property
    def should_have_digest(self) -> bool:
        return self.schema_version > UNPROTECTED


def _plain(value: Any) -> Any:
    if isinstance(value, CaseKey):
        return value.plain()
    return vars(value) if isinstance(value, Provenance) else str(value)


@dataclass(frozen=True, kw_only=True)
class _Line(Protected):
    run: str
    session: str
    kind: str = ""


@dataclass(frozen=True)
class Provenance:
    """Enough to measure the line again. ``machine`` and ``versions`` are identity: where they
    differ, timed figures are not compared."""

    commit: str
    dirty: bool
    machine: str
    versions: dict[str, str]
    command: str
    measured_at: str


@dataclass(frozen=True, kw_only=True)
class Session(_Line):
    kind: Literal["session"] = "session"
    command: str
    preset: str
    seed: int
    started_at: str
    commit: str
    dirty: bool
    identity: dict[str, Any]
    information: dict[str, Any]
    plan: list[str]

    def __post_init__(self) -> None:
        """A run that is resumed goes on with its command."""
        try:
            if shlex.split(self.command):
                return
        except ValueError:  # a quote that is never closed
            pass
        raise ValueError(f"command: expected a command line; got {self.command!r}: {_CHANGED}")


def _check_range(field: str, metric: str, figure: float | None, low: float, high: float) -> None:
    if figure is not None and not low <= figure <= high:
        raise ValueError(
            f"{field}: expected {metric} from {low:g} to {high:g}; got {figure!r}: {_CHANGED}"
        )


@dataclass(frozen=True, kw_only=True)
class _OfCase(_Line):
    case: CaseKey


@dataclass(frozen=True, kw_only=True)
class Result(Row, _OfCase):
    """What was measured of a contender in a case."""

    kind: Literal["result"] = "result"
    status: Status
    provenance: Provenance

    def __post_init__(self) -> None:
        """It can have been measured."""
        for figure in (*self.rounds, self.value):
            _check_range("value", self.metric, figure, *metrics.range_of(self.metric))
        if self.rounds and self.value is not None:
            middle = statistics.median(self.rounds)
            if abs(self.value - middle) > _MEDIAN_TOLERANCE * abs(middle):
                raise ValueError(
                    f"value: expected the median of its rounds, {middle!r}; got {self.value!r}: "
                    f"{_CHANGED}"
                )
        limit = self._limit()
        if self.status == "ok" and self.value is not None and self.value > limit:
            raise ValueError(
                f"status: expected a figure that passed to be at most its limit, {limit!r}; "
                f"got {self.value!r}: {_CHANGED}"
            )

    def _limit(self) -> float:
        """Infinite where the line has none of its own: that of a ratio is its error's, and one
        that allows for a selection that flipped is of another distance."""
        limit = self.protocol.get("limit")
        own = self.metric != "error_over_eager" and "flipped" not in self.protocol
        return limit if own and isinstance(limit, int | float) else math.inf


@dataclass(frozen=True, kw_only=True)
class Training(TrainingResult, _Line):
    """A finished training."""

    status: Status
    kind: Literal["training"] = "training"
    provenance: Provenance

    def __post_init__(self) -> None:
        """Its figures can have been measured."""
        for name, figure in (pair for row in (self.metrics, *self.epochs) for pair in row.items()):
            low, high = metrics.range_of(name)
            # Nothing is trained yet in the row of epoch 0.
            _check_range("metrics", name, figure, min(low, 0.0), high)


@dataclass(frozen=True, kw_only=True)
class _Timed(_Line):
    seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= _MOST_SECONDS:
            raise ValueError(
                f"seconds: expected 0 to {_MOST_SECONDS:g}; got {self.seconds!r}: {_CHANGED}"
            )


@dataclass(frozen=True, kw_only=True)
class CaseEnd(_Timed):
    kind: Literal["case_end"] = "case_end"
    case: str


@dataclass(frozen=True, kw_only=True)
class RunEnd(_Timed):
    kind: Literal["run_end"] = "run_end"


Line = Session | Result | Training | CaseEnd | RunEnd
