"""The timed cases that must exist: a committed list, so that none disappears unnoticed.

Imports neither torch nor triton.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from suites.gate import plan

from .. import files
from ..pins import FOLDER

NAME = "timed.txt"
DEVICES = ("cpu", "cuda")
_WIDEST = "thorough"


@dataclass(frozen=True)
class Inventory:
    """``vanished``: pinned, but no longer declared by the tree; ``unpinned``: declared, but not
    pinned; ``removed``: in the base's list, but neither in the candidate's list nor in its tree."""

    vanished: tuple[str, ...]
    unpinned: tuple[str, ...]
    removed: tuple[str, ...] = ()


def declared(package: str = "marginbench") -> list[str]:
    """The ids of all cases that a tree has, for every device, sorted."""
    return sorted({case.id for device in DEVICES for case in plan(_WIDEST, device, package)})


def compare(pinned: Collection[str], now: Collection[str], base: Collection[str] = ()) -> Inventory:
    return Inventory(
        vanished=tuple(sorted(set(pinned) - set(now))),
        unpinned=tuple(sorted(set(now) - set(pinned))),
        removed=tuple(sorted(set(base) - set(pinned) - set(now))),
    )


def read(folder: Path = FOLDER) -> list[str]:
    """The pinned ids; raises FileNotFoundError if there is no list or it is empty."""
    found = (folder / NAME).read_text().split()
    if not found:
        raise FileNotFoundError(f"{folder / NAME}: expected a timed case a line; it holds none")
    return found


def write(ids: Sequence[str], folder: Path = FOLDER) -> None:
    """Writes one id a line, atomically."""
    files.write(folder / NAME, "".join(f"{one}\n" for one in sorted(ids)))
