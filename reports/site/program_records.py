"""Records that a program writes whole, each with a page of its own: one file of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.records.loading import RecordError

Record = Mapping[str, Any]


def read(path: Path, version: int) -> Record:
    """Raises RecordError where it is not of that schema."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"{path}: expected JSON; {error}") from None
    got = found.get("schema_version") if isinstance(found, dict) else None
    if got != version:
        raise RecordError(f"{path}: expected schema version {version}; got {got!r}")
    made: Record = found
    return made
