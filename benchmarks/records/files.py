"""Files are replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

# What a system says of a disk that is full, or of a file that may not grow.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(path: Path, content: str | bytes) -> None:
    """Text is written as UTF-8. A concurrent reader sees the old file or the new one. Makes the
    folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            temporary.write_bytes(encoded(content) if isinstance(content, str) else content)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the system names this file: a full disk is found in writing, which names none."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:
            raise  # it has only a text: there is no place for a file name
        raise OSError(error.errno, error.strerror, str(path)) from error


def encoded(text: str) -> bytes:
    r"""As UTF-8. A byte of a file's name that is none, which Python keeps as half a surrogate, is
    written as on a terminal: ``caf\\udce9``."""
    return text.encode("utf-8", "backslashreplace")
