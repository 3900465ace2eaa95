"""Did a gate end undecided, and by nothing worse? ``python -m reports.gate.undecided FOLDER``

Exit code 0 where every case that was to be timed has a verdict of its own and none is worse than
UNDECIDED; else 1. For a script that has to tell a machine too busy to measure on from everything
else that is not measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.gate.records import FILE

from . import reading


def only_undecided(run: reading.GateRun) -> bool:
    found = {row.verdict for row in run.rows()}
    exact = run.exact is None or run.exact.code == 0
    return exact and "UNDECIDED" in found and found <= {"UNDECIDED", "EQUIVALENT", "FASTER"}


if __name__ == "__main__":
    sys.exit(0 if only_undecided(reading.load(Path(sys.argv[1]) / FILE)) else 1)
