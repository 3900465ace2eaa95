"""The gate's record: one JSON line for each group of blocks, the exact half and each verdict.

The first line says what was asked, of which commits, on which machine; the last how it ended. A
file without a last line comes from a gate that was killed: it has no outcome. Verdicts and ratios
can be worked out again from the groups alone (`marginbench gate --show`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from ..records import digests
from ..records.kinds import GATE_FILE
from ..records.lines import Protected
from ..records.loading import RecordError, adapter, explain
from ..records.writing import Appender

FILE = GATE_FILE
# At most three hundred years.
_Nanoseconds = Annotated[int, Field(gt=0, lt=2**63)]
# Verdicts that older records have under another name.
_RENAMED = {"UNDECIDED": "INCONCLUSIVE"}


def current_name(verdict: Any) -> Any:
    """The name that a recorded verdict has today; anything else as it is.

    >>> current_name("UNDECIDED"), current_name("SLOWER")
    ('INCONCLUSIVE', 'SLOWER')
    """
    return _RENAMED.get(verdict, verdict) if isinstance(verdict, str) else verdict


@dataclass(frozen=True, kw_only=True)
class GateStart(Protected):
    """``identity`` and ``information`` as in a session's line; ``rule`` the decision's settings;
    ``unpaired`` timed cases that only one side has, and which; ``lost`` those of the base that the
    candidate should have had; ``unchanged`` losses that are not timed, as they are the base's;
    ``planted`` what was planted in the candidate, for the gate's own trial."""

    kind: Literal["gate_start"] = "gate_start"
    command: str
    started_at: str
    base_commit: str
    candidate_commit: str
    dirty: bool
    code: str
    identity: dict[str, Any]
    information: dict[str, Any]
    suite: str
    device: str
    seed: int
    threads: int
    rule: dict[str, Any]
    cases: list[str]
    unpaired: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    planted: str = ""


@dataclass(frozen=True, kw_only=True)
class GateGroup(Protected):
    """ABBA blocks of one case on one set of tensors: nanoseconds of two legs a side, ``calls``
    calls a leg; in ``orders`` A is the base. ``retaken`` legs were interrupted and thrown away,
    ``interrupted`` ones were used all the same."""

    kind: Literal["group"] = "group"
    case: str
    stage: Literal["screen", "confirmation"]
    number: int
    calls: PositiveInt
    orders: Annotated[list[str], Field(min_length=1)]
    base: list[tuple[_Nanoseconds, _Nanoseconds]]
    candidate: list[tuple[_Nanoseconds, _Nanoseconds]]
    retaken: int
    interrupted: int

    def __post_init__(self) -> None:
        if not len(self.orders) == len(self.base) == len(self.candidate):
            raise ValueError("orders, base, candidate: expected as many blocks in each")


@dataclass(frozen=True, kw_only=True)
class GateExact(Protected):
    """The exact half: its exit code, and each difference as a sentence; ``left_out`` says which
    pinned kernels were not compiled."""

    kind: Literal["exact"] = "exact"
    code: int
    rows: int
    differences: list[str]
    repinned: list[str]
    left_out: str = ""


@dataclass(frozen=True, kw_only=True)
class GateVerdict(Protected):
    """``ratio`` is candidate / base with its 95% interval, of the last stage; ``p_value`` Holm's;
    ``detectable`` the smallest slow-down (a fraction) found in 95% of runs at this case's noise;
    seconds are those of the timed work."""

    kind: Literal["verdict"] = "verdict"
    case: str
    verdict: Annotated[
        Literal["SLOWER", "FASTER", "EQUIVALENT", "INCONCLUSIVE", "WRONG", "NOT MEASURED"],
        BeforeValidator(current_name),
    ]
    reason: str
    ratio: float | None
    low: float | None
    high: float | None
    p_value: float | None
    base_s: float | None
    candidate_s: float | None
    groups: int
    seconds: float
    detectable: float | None
    shared: bool


@dataclass(frozen=True, kw_only=True)
class GateEnd(Protected):
    kind: Literal["gate_end"] = "gate_end"
    exit_code: int
    outcome: str
    seconds: float


Line = GateStart | GateGroup | GateExact | GateVerdict | GateEnd
_ADAPTER = adapter(Line)


class Writer:
    """Appends lines as they come to a new file; all but groups are on the disk at once."""

    def __init__(self, path: Path) -> None:
        self.path, self._lines = path, Appender(path, new=True)

    def append(self, line: Line) -> None:
        self._lines.append(line.text(), sync=not isinstance(line, GateGroup))

    def close(self) -> None:
        self._lines.close()


def read(path: Path) -> Iterator[Line]:
    """Every line, validated; raises RecordError naming the line that is invalid."""

    def refused(number: int, text: str, error: Exception) -> RecordError:
        match error:
            case digests.CutOff():
                why = "expected a whole line; it is cut off: that gate was killed; run it again"
            case digests.Changed():
                why = f"{error}; it was edited: run the gate again"
            case _:
                why = explain(text, error)
        return RecordError(f"gate: {path}, line {number}: {why}")

    if not path.is_file():
        raise RecordError(f"gate: expected a file of a gate's records; {path} is not there")
    expected = operator.attrgetter("should_have_digest")
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from digests.read(file, _ADAPTER.validate_json, refused, expected=expected)
