"""Files are replaced as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Whoever reads meanwhile sees the old file or the new one; makes the folder."""
    _replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """As `write` does, for what is no text."""
    _replace(path, lambda temporary: temporary.write_bytes(content))


def _replace(path: Path, fill: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fill(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.strerror is None:
            raise  # a text alone: there is nothing to add a name to
        # A full disk is found when writing, which names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
