"""Record files: their names, how one is found in a folder, and its lines.

A run writes `FILE`; a published one is `PACKED` by xz. Needs the standard library alone, so that a
machine that has only torch can write one.
"""

from __future__ import annotations

import errno
import json
import lzma
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

FILE = "records.jsonl"
PACKED = f"{FILE}.xz"
FILES = (FILE, PACKED)
SUFFIXES = (".jsonl", ".jsonl.xz")
_BYTES_AT_ONCE = 1 << 16


class RecordError(Exception):
    """A record file that is missing, cut off or not one of ours; names the line and the remedy."""


def find(folder: Path, names: Sequence[str] = FILES) -> Path | None:
    """The record of a folder, None if it has none. Raises RecordError if it has two, for nothing
    says which of them counts."""
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise RecordError(f"records: expected one record file in {folder}; found {both}: keep one")
    return found[0] if found else None


def is_packed(path: Path) -> bool:
    return path.suffix == ".xz"


def opened(path: Path, errors: str = "strict") -> IO[str]:
    """A file as text in UTF-8, as it is or packed by xz; ``errors`` as of `open`. Where an archive
    is damaged, reading raises LZMAError or EOFError. Raises OSError for what is no file, a pipe for
    instance, which would be waited for."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if is_packed(path):
        return lzma.open(path, "rt", encoding="utf-8", errors=errors)
    return path.open(encoding="utf-8", errors=errors)


def parsed(text: str) -> dict[str, Any]:
    """The JSON object of a line; raises ValueError where it is none, or nested too deeply."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object; got {type(found).__name__}")
    return found


def head(path: Path) -> dict[str, Any]:
    """The first line of a record file, which is its session's; empty if it can't be read."""
    try:
        with opened(path) as texts:
            return parsed(texts.readline())
    except (OSError, ValueError, EOFError, lzma.LZMAError):
        return {}


def resumption(path: Path) -> str:
    """What to type to complete the run of a record file, by the command that began it. A packed one
    is unpacked first: nothing can be appended to it, and beside the unpacked one it would be a
    second record."""
    began, folder = str(head(path).get("command", "")), shlex.quote(str(path.parent))
    run = f"marginbench run --resume {folder}"
    if began.startswith("marginbench quality run"):
        run = f"marginbench quality run --resume {folder}"
    elif began.startswith(("marginbench quality", "python -m benchmarks.gpu_session")):
        run = f"{began} --out {folder}"  # which goes on by itself
    return f"xz -d {shlex.quote(str(path))} && {run}" if is_packed(path) else run


def texts(path: Path) -> Iterator[str]:
    """Each line of a record file; bytes that are not text make a damaged line. Raises RecordError
    if the file is missing or a damaged archive."""
    if not path.is_file():
        raise RecordError(f"records: expected a file; {path} is not there")
    try:
        with opened(path, errors="replace") as file:
            yield from file
        if is_packed(path):
            _ends(path)
    except (lzma.LZMAError, EOFError) as error:
        raise RecordError(
            f"records: {path}: expected a whole archive of xz; {error}: restore the file"
        ) from None


def _ends(path: Path) -> None:
    """Raises LZMAError where something follows the archive's end, which reading passes over."""
    archive = lzma.LZMADecompressor()
    with path.open("rb") as file:
        while not archive.eof and (content := file.read(_BYTES_AT_ONCE)):
            archive.decompress(content)
        if archive.unused_data or file.read(1):
            raise lzma.LZMAError("something follows its end")
