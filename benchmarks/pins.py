"""The pinned facts of compiled kernels: read, written, compared, and checked against rules.

A row is one kernel, as it is compiled for one set of arguments and one target; a line of the file.
Nothing here imports torch or triton.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, gpus

FOLDER = Path(__file__).resolve().parent / "pinned"
Row = Mapping[str, Any]
Key = tuple[str, str, str]

_WIDE = ("load.128", "load.256", "async.128", "async.tensor")
SPILLS = f"spills on {gpus.MAIN}"
NO_ROOM = "takes more than a processor has"
NOT_COMPILED = "does not compile"


class PinError(Exception):
    """A pin file that can't be read; says which and why."""


@dataclass(frozen=True)
class Difference:
    """One difference from the pins; ``metric`` is "" where a whole row was added or removed."""

    kernel: str
    target: str
    arguments: str
    metric: str
    pinned: str
    now: str


def key(row: Row) -> Key:
    return row["kernel"], row["arguments"], row["target"]


def path_for(version: str, folder: Path = FOLDER) -> Path:
    """Where the pins of a Triton version lie, whether or not they are there."""
    return folder / f"triton-{version.partition('+')[0]}.jsonl"


def read(path: Path) -> list[Row]:
    """Raises PinError naming a line that is not a row, or repeats one."""
    rows: dict[Key, Row] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
            if rows.setdefault(key(row), row) is not row:
                raise ValueError("twice")
        except (ValueError, KeyError, TypeError) as error:
            raise PinError(f"{path}:{number}: expected a row of pins; {error!r}") from None
    return list(rows.values())


def write(path: Path, rows: Iterable[Row]) -> None:
    """One row a line, sorted, so that a diff shows what changed; written atomically."""
    lines = [json.dumps(row) for row in sorted(rows, key=key)]
    files.write(path, "".join(f"{line}\n" for line in lines))


def broken(row: Row) -> list[str]:
    """Which of the rules that hold for every kernel this one breaks.

    A 16-bit product runs on tensor cores; if all rows of the matrices begin at a multiple of 16
    elements, some loads take 128 bits; on sm_90 nothing is spilled; a processor has room for it;
    and it compiles.
    """
    if "error" in row:
        return [NOT_COMPILED]
    found, classes = [], row["classes"]
    product = gpus.TARGETS[row["target"]].product
    if {"bf16", "f16"} & set(row["products"]) and not classes.get(product):
        found.append(f"no {product}")
    if row["aligned"] and not any(classes.get(name) for name in _WIDE):
        found.append("no 128-bit load")
    local = row["stack_bytes"] or row["local_bytes"] or classes.get("local.store")
    if row["target"] == gpus.MAIN and local:
        found.append(SPILLS)
    if not row["programs"]:
        found.append(NO_ROOM)
    return found


def breaks(rows: Sequence[Row], pinned: Sequence[Row]) -> list[Difference]:
    """Every broken rule, except those pinned as broken for a kernel with unaligned rows or on
    another target than sm_90: known, and to be fixed. A kernel has to compile everywhere."""
    known = {key(row): row.get("breaks", ()) for row in pinned}
    return [
        Difference(*_names(row), "rule", "", row.get("error", rule))
        for row in rows
        for rule in broken(row)
        if rule == NOT_COMPILED
        or rule not in known.get(key(row), ())
        or (row["target"] == gpus.MAIN and row["aligned"])
    ]


def differences(pinned: Sequence[Row], now: Sequence[Row]) -> list[Difference]:
    """What differs, metric by metric, in the order of the file."""
    before, after = ({key(row): row for row in rows} for rows in (pinned, now))
    found = []
    for at in sorted(before.keys() | after.keys()):
        old, new = before.get(at), after.get(at)
        if old is None or new is None:
            row = old or new
            assert row is not None
            found.append(
                Difference(*_names(row), "", "pinned" if old else "-", "there" if new else "gone")
            )
            continue
        flat_old, flat_new = _flat(old), _flat(new)
        found += [
            Difference(*_names(new), name, flat_old.get(name, "-"), flat_new.get(name, "-"))
            for name in dict.fromkeys((*flat_old, *flat_new))
            if flat_old.get(name) != flat_new.get(name)
        ]
    return found


def renamed(before: Sequence[Row], after: Sequence[Row]) -> list[Row]:
    """``before`` with the parameters' names of ``after``: where only those of a kernel changed, it
    is the same kernel, not one that is gone and another that is new."""
    kept, there = ({key(row) for row in rows} for rows in (before, after))
    names = {_by_value(row): row["arguments"] for row in after if key(row) not in kept}
    return [
        row
        if key(row) in there
        else {**row, "arguments": names.get(_by_value(row), row["arguments"])}
        for row in before
    ]


def _by_value(row: Row) -> Key:
    """The key of a row without the names of its arguments."""
    values = (word.partition("=")[2] for word in row["arguments"].split())
    return row["kernel"], " ".join(values), row["target"]


def short(arguments: str) -> str:
    """The arguments that distinguish a kernel's rows at a glance: dtype, alignment, constants."""
    words = dict(word.split("=", 1) for word in arguments.split())
    dtype = next(iter(words.values()), "")
    rows = {"16": "aligned", "17": "ragged"}.get(words.get("D", ""), "")
    kept = [f"{n}={v}" for n, v in words.items() if n.isupper() and n not in ("B", "C", "D")]
    options = [f"{n[4:]}={words[n]}" for n in ("num_warps", "num_stages") if n in words]
    return " ".join(filter(None, (dtype, rows, *kept, *options)))


def _names(row: Row) -> tuple[str, str, str]:
    return row["kernel"], row["target"], row["arguments"]


def _flat(row: Row) -> dict[str, str]:
    """Each metric by name, classes of instructions one by one."""
    flat: dict[str, str] = {}
    for name, value in row.items():
        if name == "classes":
            flat |= {kind: str(count) for kind, count in value.items()}
        elif name not in ("kernel", "target", "arguments"):
            flat[name] = str(value)
    return flat
