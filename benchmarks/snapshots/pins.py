"""The pinned facts of compiled kernels, compared and checked against rules.

A row is one kernel as a loss launches it, compiled for one set of arguments and one target. Nothing
here imports torch or triton.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..instruments import gpus
from .pin_files import STATIC, Pin

Row = Mapping[str, Any]
Key = tuple[str, str, str]
_NAMES = ("kernel", "arguments", "target")

_WIDE = ("load.128", "load.256", "async.128", "async.tensor")
SPILLS = f"spills on {gpus.MAIN}"
NO_ROOM = "takes more than a processor has"
NOT_COMPILED = "does not compile"


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


def is_of(pin: Pin, version: str) -> bool:
    """Whether it is a row that this version of Triton compiled."""
    return pin.kind == STATIC and pin.version == version


def row_of(pin: Pin) -> Row:
    return {**dict(zip(_NAMES, pin.key, strict=True)), **pin.facts, "folder": pin.folder}


def pin_of(row: Row, version: str) -> Pin:
    facts = {name: value for name, value in row.items() if name not in (*_NAMES, "folder")}
    return Pin(row["folder"], STATIC, version, key(row), facts)


def once(rows: Iterable[Row]) -> list[Row]:
    """Each kernel once, sorted, without the losses that launch it."""
    found = {key(row): {**row, "folder": ""} for row in rows}
    return [found[at] for at in sorted(found)]


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
    known = {_of_loss(row): row.get("breaks", ()) for row in pinned}
    return _distinct(
        Difference(*_names(row), "rule", "", row.get("error", rule))
        for row in rows
        for rule in broken(row)
        if rule == NOT_COMPILED
        or rule not in known.get(_of_loss(row), ())
        or (row["target"] == gpus.MAIN and row["aligned"])
    )


def differences(pinned: Sequence[Row], now: Sequence[Row]) -> list[Difference]:
    """What differs, metric by metric, sorted; once, though several losses launch a kernel."""
    before, after = ({_of_loss(row): row for row in rows} for rows in (pinned, now))
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
    return _distinct(found)


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


def _of_loss(row: Row) -> tuple[str, str, str, str]:
    return (*key(row), row.get("folder", ""))


def _distinct(found: Iterable[Difference]) -> list[Difference]:
    return list(dict.fromkeys(found))


def _names(row: Row) -> tuple[str, str, str]:
    return row["kernel"], row["target"], row["arguments"]


def _flat(row: Row) -> dict[str, str]:
    """Each metric by name, classes of instructions one by one."""
    flat: dict[str, str] = {}
    for name, value in row.items():
        if name == "classes":
            flat |= {kind: str(count) for kind, count in value.items()}
        elif name not in (*_NAMES, "folder"):
            flat[name] = str(value)
    return flat
