"""The file that tuned tiles are kept in: JSON, one entry per key."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# 2: choices of 1 were timed by eager calls, which the host bounds.
SCHEMA = "marginbench tiles 2"


class TileCache:
    """Choices by key, each a dict with at least a ``tile``.

    Never fails a calculation: a file that can't be read or isn't one of ours causes a warning,
    counts as empty, and is replaced by the next choice; one that can't be written causes one too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, dict[str, Any]] | None = None
        self._put: dict[str, dict[str, Any]] = {}

    @staticmethod
    @functools.cache
    def at(path: str | None) -> TileCache:
        """The file at a path; at None the one in the user's cache folder."""
        if path:
            return TileCache(Path(path))
        try:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:  # a user without a home
            folder = Path(tempfile.gettempdir())
        return TileCache(folder / "marginbench" / "tiles.json")

    def get(self, key: str) -> dict[str, Any] | None:
        """What was put for a key, or what the file had for it when it was first read."""
        if self._found is None:
            self._found = self._read()
        return self._put.get(key) or self._found.get(key)

    def put(self, key: str, choice: dict[str, Any]) -> None:
        """Keep a choice. The file is read again and replaced as a whole, under a lock where the
        system has one, so that processes which write at the same time lose nothing."""
        self._put[key] = choice
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path.with_suffix(".lock")):
                self._replace({**self._read(), **self._put})
        except OSError as error:
            self._warn(f"can't be written ({error}): the choice is kept in memory alone")

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self._warn(f"can't be read ({error}): tiles are timed again")
            return {}
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            self._warn(f"is not a file of {SCHEMA!r}: tiles are timed again")
            return {}
        choices = found.get("choices")
        choices = choices if isinstance(choices, dict) else {}
        return {k: v for k, v in choices.items() if isinstance(v, dict) and "tile" in v}

    def _replace(self, choices: dict[str, dict[str, Any]]) -> None:
        text = json.dumps({"schema": SCHEMA, "choices": choices}, indent=1, sort_keys=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text + "\n")
            Path(name).replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def _warn(self, what: str) -> None:
        warnings.warn(f"tile cache {self.path} {what}", RuntimeWarning, stacklevel=3)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock file; where the system or its disk has no such locks, the last writer wins."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
