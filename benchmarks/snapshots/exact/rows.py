"""A row of the exact check, and its pin. Imports neither torch nor triton.

The pins are also the inventory of what has to be measured: a row that is pinned but not measured is
no pass. Each version of torch has its own, since versions allocate differently; builds of one
version for a CPU and for CUDA share them, since what is counted runs on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suites.schema import STATUS_WORDS

from .. import pin_files
from ..pin_files import EXACT, Pin, PinError

Value = int | float | str | None
Key = tuple[str, str, str]


@dataclass(frozen=True)
class ExactRow:
    """``case`` as ``exact/LOSS/VARIANT/SHAPE/DTYPE/WHERE``, where WHERE is ``cpu`` for what ran
    and a GPU's architecture for what was recorded. ``value`` is None if it could not be
    measured; ``reason`` says why, or explains a value that is a word."""

    case: str
    contender: str
    metric: str
    value: Value
    reason: str = ""

    @property
    def key(self) -> Key:
        return self.case, self.contender, self.metric

    @property
    def loss(self) -> str:
        return self.case.split("/")[1]


@dataclass(frozen=True)
class ExactDifference:
    """One figure before and after, as text; ``-`` where there is none."""

    case: str
    contender: str
    metric: str
    before: str
    after: str
    reason: str = ""


def measured(row: ExactRow) -> bool:
    """Whether there is a figure: None, NaN and infinity are none."""
    return row.value is not None and (isinstance(row.value, str) or math.isfinite(row.value))


def is_of(pin: Pin, version: str) -> bool:
    """Whether it is a row that was measured with this version of torch."""
    return pin.kind == EXACT and pin.version == version


def row_of(pin: Pin) -> ExactRow:
    """Raises `PinError` naming the line if it is no row or has no figure."""
    try:
        row = ExactRow(*pin.key, **pin.facts)
        if not isinstance(row.reason, str):
            raise ValueError("reason is text")
        if isinstance(row.value, bool) or not isinstance(row.value, int | float | str):
            raise ValueError(f"value: {row.value!r}")
        if not measured(row):
            raise ValueError(f"value: {row.value!r}")
    except (ValueError, TypeError) as error:
        raise PinError(f"{pin.line}: expected an exact row; {error}") from None
    return row


def pin_of(row: ExactRow, version: str) -> Pin:
    facts = {"value": row.value, **({"reason": row.reason} if row.reason else {})}
    return Pin(pin_files.folder_of(row.loss), EXACT, version, row.key, facts)


def by_key(rows: Sequence[ExactRow]) -> Mapping[Key, ExactRow]:
    return {row.key: row for row in rows}


def differences(
    before: Sequence[ExactRow], after: Sequence[ExactRow], *, gone: str = "gone"
) -> list[ExactDifference]:
    """Where the values differ, in order; ``gone`` is the text for a row that is no longer there.
    The reasons are for readers and not compared: they may hold figures of a machine."""
    old, new = by_key(before), by_key(after)
    found = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was is None or now is None:
            shown = ("-", text(now.value)) if now else (text(was.value) if was else "-", gone)
            found.append(ExactDifference(*key, *shown, now.reason if now else ""))
        elif was.value != now.value:
            shown = (text(was.value), text(now.value) + _change(was.value, now.value))
            found.append(ExactDifference(*key, *shown, now.reason))
    return found


def text(value: Value) -> str:
    """A figure as it is shown."""
    if isinstance(value, str):
        return STATUS_WORDS.get(value, value)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else f"{value:.4g}"


def _change(was: Value, now: Value) -> str:
    if isinstance(was, str | None) or isinstance(now, str | None) or not was:
        return ""
    return f" ({(now - was) / abs(was):+.2%})"
