"""Did a gate end undecided, and by nothing worse? ``python -m reports.gate.undecided FOLDER``

Exit code 0 where every case that was to be timed has a verdict of its own and none is worse than
UNDECIDED; else 1, so also where there is no record of a whole gate. For a script that has to tell a
machine too busy to measure on from everything else that is not measured; it says what it lets pass.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.gate.records import FILE
from benchmarks.records import RecordError

from . import reading, words


def only_undecided(run: reading.GateRun) -> bool:
    found = {row.verdict for row in run.rows()}
    exact = run.exact is None or run.exact.code == 0
    return exact and "UNDECIDED" in found and found <= {"UNDECIDED", "EQUIVALENT", "FASTER"}


def main(folder: Path) -> int:
    try:
        run = reading.load(folder / FILE)
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not only_undecided(run):
        return 1
    rows = run.rows()
    undecided = reading.of_verdict(rows, "UNDECIDED")
    print(f"not known to be no slower, and let pass: {len(undecided)} of {len(rows)} timed cases "
          f"are UNDECIDED: {', '.join(words.plain(row.case) for row in undecided)}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
