"""Puts a run's lines on the disk, whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from . import files
from .digests import Chain, digest_of
from .lines import Line, Result
from .record_files import RecordError, resumption

# How every line of ours begins, whatever its schema.
_HEAD = b'{"schema_version":'


class Writer:
    """Appends lines to a run's file; each is one write, and ends of cases reach the disk.

    A line that can't be written whole is taken back, so that the file ends in a whole line, and
    RecordError says what to do. Raises it also where the file at ``path`` is not one of ours,
    and leaves that as it is.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._chain = Chain(digest_of(_last_whole_line(path)))
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, line: Line) -> None:
        before = os.fstat(self._file).st_size
        text = self._chain.sealed(line.text())
        try:
            append_whole(self._file, text, sync=not isinstance(line, Result))
        except OSError as error:
            raise RecordError(self._no_room(before, error)) from error
        self._chain.last = digest_of(text)

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
        """A file without a line, of a run that was stopped before it began, goes: it would be in
        the way of the same command."""
        if not os.fstat(self._file).st_size:
            self._path.unlink(missing_ok=True)
        os.close(self._file)


def append_whole(file: int, text: str, *, sync: bool) -> None:
    """Appends a line to an open file, whole or not at all; ``sync`` writes it to the disk at once.
    Raises what writing raises."""
    data = f"{text}\n".encode()
    before = os.fstat(file).st_size
    try:
        while data:
            data = data[os.write(file, data) :]
        if sync:
            os.fsync(file)
    except BaseException:
        # If this fails too (the disk is gone), the rest is cut off when the run is resumed.
        with suppress(OSError):
            os.ftruncate(file, before)
        raise


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
        if not (tail.startswith(_HEAD) or _HEAD.startswith(tail)):
            raise RecordError(
                f"records: expected lines of MarginBench in {path}; got {tail[:40]!r} at its end; "
                "it is left as it is: choose another folder"
            )
        file.truncate(whole)
    return content[:whole].rpartition(b"\n")[0].rpartition(b"\n")[2].decode(errors="replace")
