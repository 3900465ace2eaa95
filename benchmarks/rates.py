"""A machine's peak rates, measured: the roof of its rooflines.

    python -m benchmarks.rates reports/published/mine

They are put into machine.json in that folder, beside the records of a run on the same machine; a
title and description in the file are kept. On a CPU: a copy larger than any cache, and products
large enough for their rate to have settled.

Exit codes: 0 written; 2 bad usage; 3 the file can't be read or written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from .instruments import ceilings, machine
from .module_commands import Parser, run
from .record_programs import written_by
from .records import files

SCHEMA_VERSION = 1
FILE = "machine.json"


def write(folder: Path, device: str) -> Path:
    """Measures, and writes the machine's file into the folder of its records."""
    path = folder / FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = ceilings.measure(device, ceilings.SIZES[device])
    if found["failed"]:
        raise ValueError("; ".join(f"{name}: {why}" for name, why in found["failed"].items()))
    facts = {
        "schema_version": SCHEMA_VERSION,
        "title": before.get("title", ""),
        "description": before.get("description", ""),
        "rates": found["rates"],
        "measured": {
            **written_by("rates", folder),
            "machine": machine.name(),
            "versions": machine.versions(),
            "threads": torch.get_num_threads(),
            "how": ceilings.HOW.removeprefix("of the "),
            "rounds": found["rounds"],
        },
    }
    files.write(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return path


def main(words: Sequence[str]) -> int:
    parser = Parser("python -m benchmarks.rates", __doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="of a published run")
    folder = parser.parse_args(words).folder
    try:
        print(write(folder, "cuda" if torch.cuda.is_available() else "cpu"))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    run(main)
