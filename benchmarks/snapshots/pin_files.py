"""What is pinned of each loss: one file a loss, ``tests/pins.jsonl`` in its folder.

A line is a `Pin`, of one of three kinds: an exact figure of a call, what a kernel compiles to, a
case that the gate times. What depends on a package names its version, so that pins of several
versions can lie side by side. Imports neither torch nor triton.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marginbench import catalogue

from ..instruments.machine import ROOT
from ..records import files

EXACT, STATIC, TIMED = "exact", "static", "timed"
# How many texts a key of each kind has.
_PARTS = {EXACT: 3, STATIC: 3, TIMED: 1}
LIBRARY, FILE = Path("kernels", "marginbench"), Path("tests", "pins.jsonl")
WHERE = str(LIBRARY / "*" / FILE)
# Where trees of an older layout pin: a file for each kind and version, for all losses together.
_OLD = Path("benchmarks", "pinned")


class PinError(Exception):
    """A pin file that can't be read; says which and why."""


@dataclass(frozen=True)
class Pin:
    """``folder`` is the loss's, empty in a tree of an older layout. ``version`` as "torch 2.13.0",
    empty where none decides. ``key`` says what is pinned, ``facts`` its figures; ``line`` is where
    it was read."""

    folder: str
    kind: str
    version: str
    key: tuple[str, ...]
    facts: Mapping[str, Any]
    line: str = field(default="", compare=False)


def version_of(package: str, installed: str) -> str:
    """Builds of one version for a CPU and for CUDA share their pins."""
    return f"{package} {installed.partition('+')[0]}"


def folder_of(loss: str) -> str:
    """The folder of a loss under kernels/marginbench."""
    return catalogue.get(loss).package.rpartition(".")[2]


def read(tree: Path = ROOT) -> list[Pin]:
    """All pins of a tree. Raises PinError naming a line that is no pin, or repeats one."""
    found: list[Pin] = []
    for path in sorted((tree / LIBRARY).glob(f"*/{FILE}")):
        found += _of_lines(path, path.parent.parent.name)
    return found or _of_older_layout(tree / _OLD)


def write(pins: Iterable[Pin], tree: Path = ROOT) -> None:
    """``pins`` are all that a tree has then. Sorted, so that a diff shows what changed; a file is
    written atomically, and only if it changes."""
    lines: dict[Path, list[str]] = {path: [] for path in (tree / LIBRARY).glob(f"*/{FILE}")}
    for one in sorted(pins, key=lambda one: (one.folder, one.kind, one.version, one.key)):
        plain = {"kind": one.kind, "version": one.version, "key": one.key, "facts": one.facts}
        path = tree / LIBRARY / one.folder / FILE
        lines.setdefault(path, []).append(json.dumps(plain, allow_nan=False, ensure_ascii=False))
    for path, listed in lines.items():
        text = "".join(f"{line}\n" for line in listed)
        if not text:
            path.unlink()
        elif not path.is_file() or path.read_text() != text:
            files.write(path, text)


def versions(pins: Iterable[Pin], kind: str) -> str:
    """Those that there are of a kind, for a message."""
    return ", ".join(sorted({one.version for one in pins if one.kind == kind})) or "none"


def _of_lines(path: Path, folder: str) -> list[Pin]:
    found: dict[tuple, Pin] = {}
    for number, text in enumerate(path.read_text().splitlines(), 1):
        line = f"{path}:{number}"
        try:
            given = json.loads(text)
            kind, version, key, facts = (
                given[name] for name in ("kind", "version", "key", "facts")
            )  # fmt: skip
            if len(given) > 4 or not isinstance(facts, dict):
                raise ValueError("kind, version, key, and facts by name")
            if not all(isinstance(part, str) for part in (version, *key)):
                raise ValueError("version and key are text")
            if len(key) != _PARTS[kind]:
                raise ValueError(f"key: {_PARTS[kind]} texts")
            pin = Pin(folder, kind, version, tuple(key), facts, line)
            if found.setdefault((kind, version, pin.key), pin) is not pin:
                raise ValueError("twice")
        except (ValueError, KeyError, TypeError) as error:
            raise PinError(f"{line}: expected a pin; {error!r}") from None
    return list(found.values())


def _of_older_layout(folder: Path) -> list[Pin]:
    found: list[Pin] = []
    for kind, package, names in (
        (EXACT, "torch", ("case", "contender", "metric")),
        (STATIC, "triton", ("kernel", "arguments", "target")),
    ):
        prefix = "exact-torch-" if kind == EXACT else "triton-"
        for path in sorted(folder.glob(f"{prefix}*.jsonl")):
            version = f"{package} {path.stem.removeprefix(prefix)}"
            for number, text in enumerate(path.read_text().splitlines(), 1):
                line = f"{path}:{number}"
                try:
                    row = json.loads(text)
                    key = tuple(row.pop(name) for name in names)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise PinError(f"{line}: expected a pin; {error!r}") from None
                found.append(Pin("", kind, version, key, row, line))
    timed = folder / "timed.txt"
    ids = timed.read_text().split() if timed.is_file() else []
    return found + [Pin("", TIMED, "", (one,), {}, str(timed)) for one in ids]
