"""Did a gate end inconclusive, and no worse? ``python -m reports.gate.inconclusive FOLDER``

Exit code 0 where every case that was to be timed has a verdict of its own, at least one is
INCONCLUSIVE and none is worse; else 1, also without the record of a whole gate. For a script that
lets pass what is inconclusive on this machine and nothing else; prints the cases it lets pass.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.gate.records import FILE
from benchmarks.records import RecordError

from . import reading, words


def only_inconclusive(run: reading.GateRun) -> bool:
    found = {row.verdict for row in run.rows()}
    exact = run.exact is None or run.exact.code == 0
    return exact and "INCONCLUSIVE" in found and found <= {"INCONCLUSIVE", "EQUIVALENT", "FASTER"}


def main(folder: Path) -> int:
    try:
        run = reading.load(folder / FILE)
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not only_inconclusive(run):
        return 1
    rows = run.rows()
    inconclusive = reading.of_verdict(rows, "INCONCLUSIVE")
    names = ", ".join(words.plain(row.case) for row in inconclusive)
    print(f"let pass: {len(inconclusive)} of {len(rows)} timed cases are INCONCLUSIVE: {names}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
