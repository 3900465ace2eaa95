"""The timed cases that must exist: pinned, so that none disappears unnoticed.

Imports neither torch nor triton.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from suites.gate import plan

from ..instruments.machine import ROOT
from ..snapshots import pin_files
from ..snapshots.pin_files import TIMED, Pin

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


def is_of(losses: Collection[str], case: str) -> bool:
    """Whether the case is of one of these losses; always where none is named."""
    return not losses or case.partition("/")[0] in losses


def of(losses: Collection[str], ids: Sequence[str]) -> list[str]:
    return [one for one in ids if is_of(losses, one)]


def compare(pinned: Collection[str], now: Collection[str], base: Collection[str] = ()) -> Inventory:
    return Inventory(
        vanished=tuple(sorted(set(pinned) - set(now))),
        unpinned=tuple(sorted(set(now) - set(pinned))),
        removed=tuple(sorted(set(base) - set(pinned) - set(now))),
    )


def read(tree: Path = ROOT) -> list[str]:
    """The pinned ids, sorted; none if a tree pins none. Raises `pin_files.PinError`."""
    return sorted(one.key[0] for one in pin_files.read(tree) if one.kind == TIMED)


def write(ids: Sequence[str], losses: Sequence[str] = (), tree: Path = ROOT) -> None:
    """Pins these; with ``losses``, in place of theirs alone."""
    folders = [pin_files.folder_of(loss) for loss in losses]
    kept = [
        one for one in pin_files.read(tree)
        if one.kind != TIMED or (folders and one.folder not in folders)
    ]  # fmt: skip
    pins = [Pin(pin_files.folder_of(one.split("/")[0]), TIMED, "", (one,), {}) for one in ids]
    pin_files.write([*kept, *pins], tree)
