"""A row of the exact check, and the file that rows are pinned in. Imports neither torch nor triton.

The file is also the inventory of what has to be measured: a row that is pinned but not measured is
no pass. Each version of torch has its own file, since versions allocate differently; builds of one
version for a CPU and for CUDA share it, since what is counted runs on the CPU.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from suites.schema import STATUS_WORDS

from .. import files, pins

# The inventory of the gate's timed half is in the same file: its rows are kept and not compared.
TIMED = "timed"
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


@dataclass(frozen=True)
class ExactDifference:
    """One figure before and after, as text; ``-`` where there is none."""

    case: str
    contender: str
    metric: str
    before: str
    after: str
    reason: str = ""


def path_for(version: str, folder: Path = pins.FOLDER) -> Path:
    """Where the rows of a torch version are pinned, whether or not they are."""
    return folder / f"exact-torch-{version.partition('+')[0]}.jsonl"


def measured(row: ExactRow) -> bool:
    """Whether there is a figure: None, NaN and infinity are none."""
    return row.value is not None and (isinstance(row.value, str) or math.isfinite(row.value))


def read(path: Path) -> list[ExactRow]:
    """Raises `pins.PinError` naming the line that is no row, has no figure or comes twice."""
    names = {field.name for field in fields(ExactRow)}
    rows: dict[Key, ExactRow] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            found = json.loads(line)
            if not isinstance(found, dict) or not set(found) <= names:
                raise ValueError(f"the fields are {', '.join(sorted(names))}")
            row = ExactRow(**found)
            if not all(isinstance(part, str) for part in (*row.key, row.reason)):
                raise ValueError("case, contender, metric and reason are text")
            if isinstance(row.value, bool) or not isinstance(row.value, int | float | str):
                raise ValueError(f"value: {row.value!r}")
            if not measured(row) or row.key in rows:
                raise ValueError(f"value: {row.value!r}" if row.key not in rows else "twice")
        except (ValueError, TypeError) as error:
            raise pins.PinError(f"{path}:{number}: expected an exact row; {error}") from None
        rows[row.key] = row
    return list(rows.values())


def write(path: Path, rows: Iterable[ExactRow]) -> None:
    """One row a line, sorted, so that a diff shows what changed; written atomically."""
    lines = []
    for row in sorted(rows, key=lambda row: row.key):
        plain = asdict(row)
        if not row.reason:
            del plain["reason"]
        lines.append(json.dumps(plain, allow_nan=False, ensure_ascii=False) + "\n")
    files.write(path, "".join(lines))


def by_key(rows: Sequence[ExactRow]) -> Mapping[Key, ExactRow]:
    return {row.key: row for row in rows if row.metric != TIMED}


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
