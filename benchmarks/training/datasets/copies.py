"""Files that are tested are not trained on, byte for byte, whatever they are called."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Mapping
from pathlib import Path

from .images import File
from .tree import Skips

# For the facts of a dataset that is made by `apart`.
NO_COPIES = "no file of train is, byte for byte, one of test"
_END = 512


def apart(
    trained: Mapping[str, list[File]], tested: Iterable[File], skips: Skips
) -> dict[str, list[File]]:
    """The identities trained on, without the files that equal one of ``tested`` byte for byte, and
    then without the identities of fewer than two; all that is left out is counted."""
    known = _Known(tested)
    found = {}
    for name, files in trained.items():
        kept = known.without(files, skips)
        if len(kept) >= 2:
            found[name] = kept
        else:
            of = "one picture" if kept else "no picture but those tested"
            skips.add(f"training identities with {of}", name)
    return found


class _Known:
    """The files tested, to be known again by their content. Of a file of equal size only the end
    is read, which separates nearly all: to read all of a large folder takes as long as an
    epoch."""

    def __init__(self, tested: Iterable[File]) -> None:
        self._by_size: dict[int, list[Path]] = {}
        for file in tested:
            self._by_size.setdefault(file.size, []).append(file.path)
        self._by_end: dict[int, dict[bytes, list[Path]]] = {}

    def without(self, files: list[File], skips: Skips) -> list[File]:
        """Those that are none of the tested, byte for byte; the others are counted as skips."""
        kept = []
        for file in files:
            if self._is_one(file):
                skips.add("training files byte-equal to a tested one", file.name)
            else:
                kept.append(file)
        return kept

    def _is_one(self, file: File) -> bool:
        if file.size not in self._by_size:
            return False
        if file.size not in self._by_end:
            ends = self._by_end[file.size] = {}
            for path in self._by_size[file.size]:
                ends.setdefault(_end(path), []).append(path)
        alike = self._by_end[file.size].get(_end(file.path), ())
        return any(filecmp.cmp(file.path, path, shallow=False) for path in alike)


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END))
        return file.read()
