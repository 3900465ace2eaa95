"""What takes long to make is made once and kept in the user's cache.

An entry is a directory that appears whole or not at all (made beside its place, then renamed);
one process makes it while others wait. What does not pass its own check is made anew.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import user_cache
from benchmarks.user_cache import VARIABLE
from marginbench.checks import InputError

from .dataset import Missing


def root() -> Path:
    """The cache's directory, made if it is not there; `Missing` where it cannot be written."""
    try:
        return user_cache.folder()
    except OSError as error:
        raise Missing(f"{VARIABLE}: expected a directory for caches; got {error}") from error


def entry(name: str, make: Callable[[Path], None], whole: Callable[[Path], bool]) -> Path:
    """The directory ``name`` of the cache; ``make`` fills an empty one where there is none yet, or
    where ``whole`` says that the one there is damaged."""
    from filelock import FileLock

    place = root() / name
    with FileLock(f"{place}.lock"):
        if place.exists() and whole(place):
            return place
        made = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root()))
        try:
            make(made)
            if place.exists():
                _remove(place, {path.name for path in made.iterdir()})
            made.rename(place)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return place


def _remove(place: Path, names: set[str]) -> None:
    """A damaged entry, which holds files of these names and no other; InputError where it does."""
    others = sorted(
        path.name for path in place.iterdir() if path.name not in names or path.is_dir()
    )
    if others:
        raise InputError(
            VARIABLE, "a directory for caches alone",
            f"{place}, which holds {others[0]}: it is left as it is",
        )  # fmt: skip
    for name in names:
        (place / name).unlink(missing_ok=True)
    place.rmdir()


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
