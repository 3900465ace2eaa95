"""A machine's peak rates, measured: the roof of its rooflines.

    python -m benchmarks.rates reports/published/mine

They are put into machine.json in that folder, beside the records of a run on the same machine; a
title and description in the file are kept. On a CPU: a copy larger than any cache, and products
large enough for their rate to have settled.

Exit codes: 0 written; 2 bad usage; 3 the file can't be read or written.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from . import clock, files, machine
from .module_commands import Parser, run

SCHEMA_VERSION = 1
FILE = "machine.json"
# Beyond every last-level cache, and sides whose product takes tens of milliseconds.
_COPIED = {"cpu": 512 << 20, "cuda": 2 << 30}
_SIDE = {"cpu": 1536, "cuda": 8192}
_DTYPES = ("float32", "bfloat16", "float16")
_WARM_UP, _TIMED = 2, 9


def measure(device: str) -> dict[str, Any]:
    """``rates`` by name (bytes or operations a second) and the ``rounds`` behind each, seconds."""
    timer = clock.for_device(device)
    rates: dict[str, float] = {}
    rounds: dict[str, list[float]] = {}

    def note(name: str, amount: float, work: Callable[[], object]) -> None:
        times = [timer.time(work, None)[0].both_s for _ in range(_WARM_UP + _TIMED)][_WARM_UP:]
        rounds[name], rates[name] = times, amount / statistics.median(times)

    source = torch.randn(_COPIED[device] // 4, device=device)
    target = torch.empty_like(source)
    note("bytes_per_s", 2.0 * _COPIED[device], lambda: target.copy_(source))
    for dtype in _DTYPES if device == "cuda" else _DTYPES[:1]:
        note(f"flops_per_s_{dtype}", 2.0 * _SIDE[device] ** 3, _product(device, dtype))
    return {"rates": rates, "rounds": rounds}


def _product(device: str, dtype: str) -> Callable[[], object]:
    side = _SIDE[device]
    a, b = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=product)


def write(folder: Path, device: str) -> Path:
    """Measures, and writes the machine's file into the folder of its records."""
    path = folder / FILE
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = measure(device)
    facts = {
        "schema_version": SCHEMA_VERSION,
        "title": before.get("title", ""),
        "description": before.get("description", ""),
        "rates": found["rates"],
        "measured": {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": f"python -m benchmarks.rates {shlex.quote(_from_root(folder))}",
            "machine": machine.name(),
            "versions": machine.versions(),
            "threads": torch.get_num_threads(),
            "how": f"median of {_TIMED} rounds; a copy counts bytes read and written",
            "rounds": found["rounds"],
        },
    }
    files.write(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return path


def _from_root(folder: Path) -> str:
    """The folder as seen from the root of the clone; one outside the clone as it was given."""
    absolute = folder.resolve()
    inside = absolute.is_relative_to(machine.ROOT)
    return str(absolute.relative_to(machine.ROOT) if inside else folder)


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
