"""Puts lines on the disk, whole or not at all, each with its digest. Needs the standard library
alone, so that a machine that has only torch can write a record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import files
from .digests import Chain, digest_of
from .record_files import RecordError, resumption

if TYPE_CHECKING:
    from .lines import Line

# How every line of ours begins: of a record, whatever its schema, and of a gate's trial.
_HEADS = (b'{"schema_version":', b'{"kind":')


class Appender:
    """Appends lines to a file, which is always whole lines.

    Opening it cuts off what a process that was killed left of a line; closing it removes a file
    without a line, which would be in the way of the same command. ``new``: raises FileExistsError
    where a file is there. Raises RecordError where the file is not one of ours, and leaves it as it
    is; an OSError names it.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._chain = Chain("" if new else digest_of(_last_whole_line(path)))
        only = os.O_EXCL if new else 0
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | only, 0o644)

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def append(self, *lines: str, sync: bool = True) -> None:
        """Adds these JSON objects, all of them or none. ``sync``: they are on the disk at once."""
        last, size = self._chain.last, self.size
        data = "".join(f"{self._chain.sealed(line)}\n" for line in lines).encode()
        try:
            with files.naming(self.path):
                while data:
                    data = data[os.write(self._file, data) :]
                if sync:
                    os.fsync(self._file)
        except BaseException:
            self._chain.last = last
            # If this fails too (the disk is gone), the rest is cut off when the file is opened.
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise

    def close(self) -> None:
        if not self.size:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


class Writer:
    """Appends lines to a run's file; ends of cases reach the disk. Where a line can't be written,
    RecordError says what to do."""

    def __init__(self, path: Path) -> None:
        self._lines, self._path = Appender(path), path

    def append(self, line: Line) -> None:
        before = self._lines.size
        try:
            self._lines.append(line.text(), sync=line.kind != "result")
        except OSError as error:
            raise RecordError(self._no_room(before, error)) from error

    def _no_room(self, before: int, error: OSError) -> str:
        what = "disk full" if error.errno in files.NO_ROOM else "can't write"
        if before:
            mend = f"go on with: {resumption(self._path)}"
        else:
            # Nothing was measured: without the file, the same command can be given again.
            self._path.unlink(missing_ok=True)
            mend = "run the same command again"
        room = "free some space, then " if error.errno in files.NO_ROOM else ""
        return f"{what}: {self._path}: {error.strerror}; every whole line is kept; {room}{mend}"

    def close(self) -> None:
        self._lines.close()


def whole_lines(path: Path) -> Iterator[str]:
    """The lines of a file; without the last where a process was killed as it wrote it. None of one
    that is not there."""
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line for line in file if line.endswith("\n"))


def _last_whole_line(path: Path) -> str:
    """The last whole line of a file, empty if it has none. What follows it without a newline was
    being written when the run was killed, is no record, and is cut off."""
    if not path.exists():
        return ""
    with path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        # Where the power failed, a file system may leave zeros for what it had not yet written.
        tail = content[whole:].rstrip(b"\0")
        if not (tail.startswith(_HEADS) or any(head.startswith(tail) for head in _HEADS)):
            raise RecordError(
                f"records: expected lines of MarginBench in {path}; got {tail[:40]!r} at its end; "
                "it is left as it is: choose another folder"
            )
        file.truncate(whole)
    return content[:whole].rpartition(b"\n")[0].rpartition(b"\n")[2].decode(errors="replace")
