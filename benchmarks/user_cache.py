"""Where what takes long to make is kept for this user, who may have no home."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from .notices import warn_once

VARIABLE = "MARGINBENCH_CACHE"


def folder() -> Path:
    """MARGINBENCH_CACHE, else ``marginbench`` in XDG_CACHE_HOME or ~/.cache; made if it is not
    there. Where the user has no home or can't write there, a temporary folder, with a notice.

    Raises OSError where MARGINBENCH_CACHE is given and can't be written.
    """
    if given := os.environ.get(VARIABLE):
        return _made(Path(given))
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return _made(home / "marginbench")
    except (OSError, RuntimeError) as error:
        here = _temporary()
        why = str(error).rstrip(".")
        warn_once(f"{why}; what is made is kept in {here} (another folder: {VARIABLE}=/path)")
        return here


def _made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
    return place


def _temporary() -> Path:
    """The same for each process of this user, and nobody else's."""
    place = Path(tempfile.gettempdir()) / f"marginbench-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.getuid():
        return Path(tempfile.mkdtemp(prefix="marginbench-"))
    return place
