"""The gate's record: one JSON line for each group of blocks, the exact half and each verdict.

The first line says what was asked, of which commits, on which machine; the last how it ended. A
file without a last line comes from a gate that was killed: it has no outcome. Verdicts and ratios
can be worked out again from the groups alone (`marginbench gate --show`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from .. import files
from ..digests import Chain, Changed, digest_of
from ..kinds import GATE_FILE
from ..records import Protected, RecordError, explain
from ..writing import append_whole

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
    unpaired: list[str] = Field(default_factory=list)
    lost: list[str] = Field(default_factory=list)
    unchanged: list[str] = Field(default_factory=list)
    planted: str = ""


class GateGroup(Protected):
    """ABBA blocks of one case on one set of tensors: nanoseconds of two legs a side, ``calls``
    calls a leg; in ``orders`` A is the base. ``retaken`` legs were interrupted and thrown away,
    ``interrupted`` ones were used all the same."""

    kind: Literal["group"] = "group"
    case: str
    stage: Literal["screen", "confirmation"]
    number: int
    calls: PositiveInt
    orders: list[str] = Field(min_length=1)
    base: list[tuple[_Nanoseconds, _Nanoseconds]]
    candidate: list[tuple[_Nanoseconds, _Nanoseconds]]
    retaken: int
    interrupted: int

    @model_validator(mode="after")
    def _has_whole_blocks(self) -> GateGroup:
        if not len(self.orders) == len(self.base) == len(self.candidate):
            raise ValueError("orders, base, candidate: expected as many blocks in each")
        return self


class GateExact(Protected):
    """The exact half: its exit code, and each difference as a sentence; ``left_out`` says which
    pinned kernels were not compiled."""

    kind: Literal["exact"] = "exact"
    code: int
    rows: int
    differences: list[str]
    repinned: list[str]
    left_out: str = ""


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


class GateEnd(Protected):
    kind: Literal["gate_end"] = "gate_end"
    exit_code: int
    outcome: str
    seconds: float


Line = GateStart | GateGroup | GateExact | GateVerdict | GateEnd
_ADAPTER: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


class Writer:
    """Appends lines as they come; all but groups are synced to disk at once."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        self._chain = Chain()

    def append(self, line: Line) -> None:
        text = self._chain.sealed(line.text())
        with files.naming(self.path):
            append_whole(self._file, text, sync=not isinstance(line, GateGroup))
        self._chain.last = digest_of(text)

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> Iterator[Line]:
    """Every line, validated; raises RecordError naming the line that is invalid."""
    if not path.is_file():
        raise RecordError(f"gate: expected a file of a gate's records; {path} is not there")
    with path.open(encoding="utf-8", errors="replace") as file:
        chain = Chain()
        for number, text in enumerate(file, start=1):
            try:
                if not text.endswith("\n"):
                    raise RecordError(f"gate: {path}, line {number}: expected a whole line; it is "
                                      "cut off: that gate was killed; run it again")  # fmt: skip
                line = _ADAPTER.validate_json(text)
                chain.take(text, expected=line.should_have_digest)
            except ValidationError as error:
                raise RecordError(f"gate: {path}, line {number}: {explain(text, error)}") from None
            except Changed as error:
                raise RecordError(f"gate: {path}, line {number}: {error}; it was edited: run the "
                                  "gate again") from None  # fmt: skip
            yield line
