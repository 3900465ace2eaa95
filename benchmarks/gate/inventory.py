"""Which timed cases there have to be: a committed list, so that none is lost without a word.

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
    """``vanished``: pinned, but the tree declares it no more; ``unpinned``: the other way round;
    ``removed``: the base's list has it, the candidate's has not, and neither has its tree."""

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
    """The pinned ids; raises FileNotFoundError where nothing is: no list, or an empty one."""
    found = (folder / NAME).read_text().split()
    if not found:
        raise FileNotFoundError(f"{folder / NAME}: expected a timed case a line; it holds none")
    return found


def write(ids: Sequence[str], folder: Path = FOLDER) -> None:
    """One id a line; the file is never half written."""
    files.write(folder / NAME, "".join(f"{one}\n" for one in sorted(ids)))
