"""Is what implementation="auto" takes the fastest one?

    python -m reports.auto                     of the published run on two cores
    python -m reports.auto reports/out/mine    of a run's folder, or of a record file

Two answers: from where on tiled is the faster one, by loss, which is the table that the library
carries ("tiled_from" in its loss's functional.py); and, where the suite auto was measured
(marginbench run --suite auto), in how many cases auto is within 5% of the best of the three.

Exit codes: 0 answered; 1 the record can't be read; 2 bad usage.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import record_files
from benchmarks.module_commands import Parser
from benchmarks.records import RecordError

from . import comparison, reading, units
from .paths import PUBLISHED
from .statistics import Interval

DEFAULT = PUBLISHED / "xeon-2-cores"

THREE = ("eager", "tiled", "triton")
WITHIN = 0.05


def times(measured: reading.Measured) -> dict[str, float]:
    """Seconds of forward and backward together, by contender."""
    return {
        result.contender: result.value
        for result in measured.results
        if result.metric == "both_time_s" and result.status == "ok" and result.value is not None
    }


def tiled_from(cases: Sequence[reading.Measured]) -> dict[str, int]:
    """By loss, how many logits (B x C) a batch needs for tiled to be taken on a CPU.

    Of all places between two measured sizes the one that costs least: the sum over the cases of
    the logarithm of the taken time over the best. Rounded to one digit.
    """
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for measured in cases:
        case, taken = measured.case, times(measured)
        if case.suite == "speed" and case.device == "cpu" and {"tiled", "eager"} <= taken.keys():
            ratio = math.log(taken["tiled"] / taken["eager"])
            found[case.loss].append((case.batch * case.classes, ratio))
    return {loss: _cheapest(points) for loss, points in sorted(found.items())}


def _cheapest(points: list[tuple[int, float]]) -> int:
    sizes = sorted({size for size, _ in points})
    between = [math.sqrt(a * b) for a, b in itertools.pairwise(sizes)]

    def cost(threshold: float) -> float:
        # Tiled where it is slower, eager where it is.
        return sum(max(0.0, by if size >= threshold else -by) for size, by in points)

    # Of equal ones the largest: eager is the plain one.
    best = min([2.0 * sizes[-1], *reversed(between), sizes[0] / 2.0], key=cost)
    digit = 10 ** math.floor(math.log10(best))
    return round(best / digit) * digit


@dataclass(frozen=True)
class Held:
    """auto in one case: its time over that of the best of the three, by rounds of one run."""

    case: str
    best: str
    ratio: Interval

    @property
    def state(self) -> str:
        """By the whole 95% interval; by no interval nothing is decided."""
        if self.ratio.high is not None and self.ratio.high <= 1 + WITHIN:
            return "within"
        if self.ratio.low is not None and self.ratio.low > 1 + WITHIN:
            return "beyond"
        return "inconclusive"


def held(cases: Sequence[reading.Measured]) -> list[Held]:
    """Each case of the suite auto, against the best of the three."""
    found = []
    for measured in cases:
        taken = times(measured)
        three = [name for name in THREE if name in taken]
        if measured.case.suite != "auto" or "auto" not in taken or not three:
            continue
        best = min(three, key=taken.__getitem__)
        ratio = comparison.ratio(measured, "both_time_s", "auto", best)
        if ratio is not None:
            found.append(Held(measured.case.id, best, ratio))
    return found


def main(words: Sequence[str]) -> int:
    parser = Parser("python -m reports.auto", __doc__)
    parser.add_argument("records", metavar="RECORDS", type=Path, nargs="?", default=DEFAULT,
                        help="a run's folder or record file")  # fmt: skip
    given = parser.parse_args(words).records
    try:
        path = record_files.find(given) if given.is_dir() else given
        if path is None or not path.is_file():
            parser.error(f"RECORDS: expected a run's folder or record file; got {given}")
        cases = reading.load(path).cases
    except RecordError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for loss, size in tiled_from(cases).items():
        print(f"{loss}: tiled from {size:,} logits on")
    found = held(cases)
    for one in found:
        print(f"{one.ratio.estimate:6.3f} {units.bounds(one.ratio):16} {one.best:6} {one.case}")
    if found:
        states = Counter(one.state for one in found)
        near = sum(one.ratio.estimate <= 1 + WITHIN for one in found)
        print(
            f"within {WITHIN:.0%} of the best of {', '.join(THREE)}: {near} of {len(found)} cases; "
            f"by their 95% intervals {states['within']} within, {states['beyond']} beyond, "
            f"{states['inconclusive']} inconclusive"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
