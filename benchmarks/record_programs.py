"""Programs that write one JSON file as their record: their one argument, and what the record says
of how it was made."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .instruments import machine
from .module_commands import Parser
from .records import files


def record(
    program: str, doc: str | None, words: Sequence[str],
    made: Callable[[Path], tuple[Mapping[str, Any], str]],
) -> int:  # fmt: skip
    """The exit code of ``python -m benchmarks.PROGRAM RECORD``. ``made`` gives the record that is
    written there, and what is printed then."""
    parser = Parser(f"python -m benchmarks.{program}", doc)
    parser.add_argument("record", metavar="RECORD", type=Path, help="the JSON file to write")
    path = parser.parse_args(words).record
    try:
        facts, said = made(path)
        files.write(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    except (OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print(said)
    return 0


def written_by(program: str, path: Path) -> dict[str, str]:
    """When, and by which command."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": f"python -m benchmarks.{program} {shlex.quote(_from_root(path))}",
    }


def of_tree() -> dict[str, Any]:
    """The commit, and whether the tree had changes."""
    commit, changed = machine.commit()
    return {"commit": commit, "changed": changed}


def _from_root(path: Path) -> str:
    """As seen from the root of the clone; outside the clone as it was given."""
    absolute = path.resolve()
    inside = absolute.is_relative_to(machine.ROOT)
    return str(absolute.relative_to(machine.ROOT) if inside else path)
