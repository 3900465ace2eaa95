"""Which folders a command may write into, and which of their files it may replace.

A command takes a folder that is new or empty, or one that the same kind of command made. Anything
else is refused before a file, a folder or a lock is made, and only files that were written by the
command are ever replaced or removed: `MARKER` says what made the folder, and lists them. A folder
without one is older, or comes from a clone, which leaves it out: its record shows what it is.

Needs the standard library alone, so that a machine that has only torch can write a folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import files
from .kinds import KINDS, Kind

MARKER = ".marginbench.json"
SCHEMA_VERSION = 1
_SHOWN = 2
_ELSEWHERE = "it is left as it is: choose another folder"


class Refused(Exception):
    """The command may not write into this folder. Names the option, the folder, what was found and
    what to do; nothing was changed."""


@dataclass
class Owned:
    """A folder that a command may write into; ``files`` are those of its own making, by path from
    the folder. Raises Refused if a file that is not ours has a name that is to be written."""

    path: Path
    kind: Kind
    option: str
    files: set[str]

    def write(self, contents: Mapping[str, str | bytes | Path]) -> None:
        """Replaces each file as a whole or not at all; a path stands for its file's content."""
        _check_names(self.path, contents, self.files, self.option)
        # Listed first: a command that is killed in between leaves no file that is not listed.
        self._list(self.files | set(contents))
        for name, content in contents.items():
            whole = content.read_bytes() if isinstance(content, Path) else content
            files.write(self.path / name, whole)

    def drop(self, names: Iterable[str]) -> None:
        """Removes those of these files that the command made, and folders that become empty."""
        gone = self.files & set(names)
        for name in sorted(gone):
            if not any(parent.is_symlink() for parent in _parents(self.path, name)):
                _remove(self.path, name)
        self._list(self.files - gone)

    def _list(self, names: set[str]) -> None:
        self.files = names
        text = _text(self.kind, names)
        marker = self.path / MARKER
        if not marker.is_file() or marker.read_text(encoding="utf-8") != text:
            files.write(marker, text)


def check(folder: Path, kind: Kind, option: str, also: Collection[str] = ()) -> None:
    """Raises Refused if ``kind`` may not write into ``folder``, or it holds a file that is not ours
    under a name that is to be written (the kind's pages, and ``also``). Changes nothing."""
    _owned(folder, kind, option, also)


def make(folder: Path, kind: Kind, option: str, also: Collection[str] = ()) -> Owned:
    """`check`, then makes the folder, if it is not there, and its marker."""
    owned = Owned(folder, kind, option, _owned(folder, kind, option, also))
    folder.mkdir(parents=True, exist_ok=True)
    owned._list(owned.files)
    return owned


def found(folder: Path, option: str = "folder") -> Kind | None:
    """What kind of command made the folder: its marker says so, else its record. None if it is
    not ours; raises Refused if its marker can't be read."""
    marker = _marker(folder, option)
    if marker:
        return next(kind for kind in KINDS if kind.name == marker["kind"])
    return next((kind for kind in KINDS if kind.shown(folder)), None)


def expect(folder: Path, kind: Kind, option: str) -> None:
    """Raises Refused if an existing folder is not of this kind."""
    there = found(folder, option)
    if there is not kind:
        raise Refused(f"{option}: expected a folder {kind.made}; {_what(folder, there)}")


def _owned(folder: Path, kind: Kind, option: str, also: Collection[str]) -> set[str]:
    """The files in it that are ours."""
    expected = f"{option}: expected a new or empty folder, or one {kind.made}"
    if not folder.exists():
        if folder.is_symlink():
            raise Refused(f"{expected}; {folder} is a link to nothing; {_ELSEWHERE}")
        return set()
    if not folder.is_dir():
        raise Refused(f"{expected}; {folder} is a file; {_ELSEWHERE}")
    names = _entries(folder)
    there = found(folder, option)
    if names and there is not kind:
        raise Refused(f"{expected}; {_what(folder, there)}; {_ELSEWHERE}")
    own = _own(folder, kind, option) if there else set()
    if kind.replaced_whole and (others := sorted(set(_every(folder)) - own)):
        raise Refused(
            f"{expected}; {folder} holds {_listed(others)} beside it, which marginbench did not "
            "write; it is left as it is: move that away, or choose another folder"
        )
    _check_names(folder, {*kind.pages, *also}, own, option)
    return own


def _own(folder: Path, kind: Kind, option: str) -> set[str]:
    """By the marker, and by what our own files say: a clone brings files that no marker lists."""
    marker = _marker(folder, option)
    if marker is None:
        return set(kind.listed(folder))
    names = set(marker["files"])
    return names | {name for name in kind.listed(folder) if "/" in name}


def _check_names(folder: Path, names: Iterable[str], own: set[str], option: str) -> None:
    """Raises Refused rather than overwrite what somebody else put under one of these names."""
    for name in sorted(names):
        place = folder / name
        outside = [one for one in _parents(folder, name)
                   if one.is_symlink() or (one.exists() and not one.is_dir())]  # fmt: skip
        taken = os.path.lexists(place) and (name not in own or _is_folder(place))
        if outside or taken:
            raise Refused(
                f"{option}: {folder} holds {outside[0].name if outside else name}, which "
                "marginbench did not write and would have to replace; it is left as it is: move "
                "it away, or choose another folder"
            )


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


def _parents(folder: Path, name: str) -> list[Path]:
    """The folders between ``folder`` and a file in it."""
    return [folder / one for one in PurePosixPath(name).parents if one != PurePosixPath()]


def _remove(folder: Path, name: str) -> None:
    place = folder / name
    if not _is_folder(place):
        place.unlink(missing_ok=True)
    for parent in _parents(folder, name):
        try:
            parent.rmdir()
        except OSError:
            return  # something else is in it


def _entries(folder: Path) -> list[str]:
    """What is in a folder, without the unfinished marker of a command that was killed."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(f".{MARKER}."))


def _every(folder: Path) -> Iterator[str]:
    """Every file below a folder; a link counts as a file, wherever it leads."""
    for at, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(at) / name).is_symlink()]
        yield from (Path(at, name).relative_to(folder).as_posix() for name in [*names, *links])


def _what(folder: Path, there: Kind | None) -> str:
    if there:
        return f"{folder} is one {there.made}"
    if not folder.is_dir():
        return f"{folder} is not there"
    return f"{folder} holds {_listed(_entries(folder))}, and nothing says that marginbench made it"


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "") or "nothing"


def _text(kind: Kind, names: Iterable[str]) -> str:
    about = "Made by marginbench, which replaces and removes only the files listed here."
    marker = {"about": about, "schema_version": SCHEMA_VERSION, "kind": kind.name,
              "files": sorted(names)}  # fmt: skip
    return json.dumps(marker, indent=1, ensure_ascii=False) + "\n"


def _marker(folder: Path, option: str) -> dict[str, Any] | None:
    """The marker of a folder, checked; None if there is none."""
    path = folder / MARKER
    if not path.is_file():
        return None
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
        version, kind, names = (marker[key] for key in ("schema_version", "kind", "files"))
    except (ValueError, KeyError, TypeError):
        version, kind, names = SCHEMA_VERSION, None, None
    known = version == SCHEMA_VERSION and any(kind == one.name for one in KINDS)
    if known and isinstance(names, list) and all(map(_is_inside, names)):
        return marker
    why = "is damaged" if version == SCHEMA_VERSION else f"is of schema version {version!r}"
    raise Refused(f"{option}: expected {path} as marginbench wrote it; it {why}; {_ELSEWHERE}")


def _is_inside(name: object) -> bool:
    """A file below the folder, and never one outside it: a marker can be edited."""
    if not isinstance(name, str):
        return False
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
