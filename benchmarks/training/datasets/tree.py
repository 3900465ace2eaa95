"""Image files below a path, one directory an identity: which are taken, and what is left out."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .images import DataError, File, check_depth

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
# What macOS puts into an archive beside the pictures: their names, but no pictures.
_MACOS = "__MACOSX"
# Named in the facts, so that someone can look; the rest is only counted.
_EXAMPLES = 5


@dataclass
class Skips:
    """What was left out: counted by reason, the first few named."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < _EXAMPLES:
            named.append(printable(name))

    def plain(self) -> dict[str, Any]:
        return {r: {"count": n, "first": self.examples[r]} for r, n in self.counts.items()}


def printable(path: str) -> str:
    r"""A path as text that a record can hold: bytes that are no UTF-8 are written as ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def scan(root: Path, least: int, skips: Skips) -> dict[str, list[File]]:
    """The image files of each identity (a directory below ``root``) that has ``least`` or more,
    in order of their names.

    Hidden folders and pictures are skipped: an editor's checkpoints hold copies of pictures, which
    would make one person two identities. So are symbolic links that lead to themselves. Each file
    is opened as far as its header: one that is empty or no image is skipped. What lies behind the
    header shows when it is decoded. Raises DataError for a name that is not UTF-8, which no record
    can hold, and for a picture that can't be brought to 8 bits.
    """
    found: dict[str, list[File]] = {}
    for folder in _entries(root, "", _is_folder, "hidden folders", skips):
        identity, files = folder.name, []
        within = f"{identity}/"
        for entry in _entries(root, within, _is_picture, "hidden pictures", skips):
            name = within + entry.name
            if _is_image(Path(entry.path)):
                files.append(File(root, name, entry.stat().st_size))
            else:
                skips.add("files without the header of an image", name)
        if len(files) >= least:
            found[identity] = files
        elif files:
            skips.add(f"identities with fewer than {least} pictures", identity)
        else:
            skips.add("identities without a picture", identity)
    return found


def _entries(
    root: Path, within: str, wanted: Callable[[os.DirEntry[str]], bool], hidden: str, skips: Skips
) -> Iterator[os.DirEntry[str]]:
    """Those of the folder ``within`` that are wanted, in order of their names; the hidden ones are
    skipped for the reason ``hidden``."""
    with os.scandir(root / within) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = within + entry.name
        try:
            if not wanted(entry):
                continue
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            skips.add("symbolic links that lead to themselves", name)
            continue
        if entry.name.startswith(".") or entry.name == _MACOS:
            skips.add(hidden, name)
            continue
        if not is_utf8(entry.name):
            got = repr(os.fsencode(entry.name))
            raise DataError(printable(entry.path), "a name in UTF-8", got)
        yield entry


def is_utf8(name: str) -> bool:
    """Whether a name was UTF-8 on the disk: other bytes come as lone surrogates."""
    return printable(name) == name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir()


def _is_picture(entry: os.DirEntry[str]) -> bool:
    return Path(entry.name).suffix.lower() in ENDINGS and entry.is_file()


def _is_image(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            check_depth(path, image)
        return True
    except DataError:
        raise
    except Exception:  # Pillow's readers raise whatever their format raises
        return False
