"""Did a gate end inconclusive, and no worse?

    python -m reports.gate.inconclusive reports/out/gate-1

For a script that lets pass what is inconclusive on this machine and nothing else; prints the cases
it lets pass.

Exit codes: 0 every case that was to be timed has a verdict of its own, at least one is INCONCLUSIVE
and none is worse; 1 not so; 2 bad usage; 3 there is no record of a whole gate.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gate.records import FILE
from benchmarks.module_commands import Parser, run
from benchmarks.records.loading import RecordError

from . import reading, words


def only_inconclusive(run: reading.GateRun) -> bool:
    found = {row.verdict for row in run.rows()}
    exact = run.exact is None or run.exact.code == 0
    return exact and "INCONCLUSIVE" in found and found <= {"INCONCLUSIVE", "EQUIVALENT", "FASTER"}


def main(arguments: Sequence[str]) -> int:
    parser = Parser("python -m reports.gate.inconclusive", __doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="of the gate's record")
    try:
        run = reading.load(parser.parse_args(arguments).folder / FILE)
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    if not only_inconclusive(run):
        return 1
    rows = run.rows()
    inconclusive = reading.of_verdict(rows, "INCONCLUSIVE")
    names = ", ".join(words.plain(row.case) for row in inconclusive)
    print(f"let pass: {len(inconclusive)} of {len(rows)} timed cases are INCONCLUSIVE: {names}")
    return 0


if __name__ == "__main__":
    run(main)
