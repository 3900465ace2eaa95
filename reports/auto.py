"""Is what implementation="auto" takes the fastest one?

    python -m reports.auto                     of the published runs
    python -m reports.auto reports/out/mine    of a run's folder, or of a record file

Two answers: from where on tiled is the faster one, by loss and dtype, which is the table that the
library carries ("tiled_from" in its loss's functional.py); and, where the suite auto was measured
(marginbench run --suite auto), in how many cases auto is within 5% of the best of the three, which
have to be 95%. A published run of the suite has what is printed of it beside its records.

Exit codes: 0 so it is, or nothing was judged; 1 it is in fewer cases; 2 bad usage; 3 no record can
be read.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.module_commands import Parser, run
from benchmarks.records import record_files
from benchmarks.records.loading import RecordError
from suites import presets
from suites.interval import Interval

from . import comparison, reading, units
from .paths import PUBLISHED

DEFAULT = PUBLISHED / "xeon-2-cores"
JUDGED = PUBLISHED / "auto"
VERDICT = "auto.txt"

THREE = ("eager", "tiled", "triton")
WITHIN = 0.05
SHARE = 0.95


def times(measured: reading.Measured) -> dict[str, float]:
    """Seconds of forward and backward together, by contender."""
    found = {name: measured.value(name, "both_time_s") for name in measured.contenders()}
    return {name: value for name, value in found.items() if value is not None}


def tiled_from(cases: Iterable[reading.Measured]) -> dict[tuple[str, str], int]:
    """By loss and dtype, how many logits (B x C) a batch needs for tiled to be taken on a CPU: of
    the suite speed, and in dtypes that this does not time of the suite auto.

    Of all places between two measured sizes the one that costs least: the sum over the cases of
    the logarithm of the taken time over the best. Rounded to one digit.
    """
    found: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for measured in cases:
        case, taken = measured.case, times(measured)
        of = "speed" if case.dtype in presets.RIGOROUS.speed_dtypes("cpu") else "auto"
        if case.suite == of and case.device == "cpu" and {"tiled", "eager"} <= taken.keys():
            ratio = math.log(taken["tiled"] / taken["eager"])
            found[case.loss, case.dtype].append((case.batch * case.classes, ratio))
    return {of: _cheapest(points) for of, points in sorted(found.items())}


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


@dataclass(frozen=True)
class Judged:
    """What a run says: the table by loss and dtype, each timed case of the suite auto, and how many
    of its cases have no time."""

    table: Mapping[tuple[str, str], int]
    cases: tuple[Held, ...]
    untimed: int

    @property
    def holds(self) -> bool:
        """Whether auto is within 5% of the best in 95% of the timed cases."""
        near = sum(one.ratio.estimate <= 1 + WITHIN for one in self.cases)
        return near >= SHARE * len(self.cases)

    @property
    def text(self) -> str:
        lines = [
            f"{loss} in {dtype}: tiled from {size:,} logits on"
            for (loss, dtype), size in self.table.items()
        ]
        if not self.cases:
            return "".join(f"{line}\n" for line in lines or ["nothing of the suites speed, auto"])
        lines.append("time of auto over that of the best, its 95% interval, the best, the case")
        lines += [
            f"{one.ratio.estimate:6.3f} {units.bounds(one.ratio):16} {one.best:6} {one.case}"
            for one in self.cases
        ]
        states = Counter(one.state for one in self.cases)
        near = sum(one.ratio.estimate <= 1 + WITHIN for one in self.cases)
        lines += [
            f"within {WITHIN:.0%} of the best of {', '.join(THREE)}: {near} of {len(self.cases)} "
            f"timed cases; {'' if self.holds else 'NOT '}the {SHARE:.0%} that it has to be",
            f"by their whole intervals: {states['within']} within, {states['beyond']} beyond, "
            f"{states['inconclusive']} inconclusive; {self.untimed} cases without a time",
        ]
        return "\n".join(lines) + "\n"


def read(given: Path) -> Judged:
    """Raises RecordError where there is no record, or it can't be read."""
    path = record_files.find(given) if given.is_dir() else given
    if path is None or not path.is_file():
        raise RecordError(f"RECORDS: expected a run's folder or its records; got {given}")
    records = reading.load(path)
    found = held(records.cases)
    planned = sum(name.startswith("auto/") for name in records.planned)
    return Judged(tiled_from(records.cases), tuple(found), planned - len(found))


def published() -> list[Path]:
    """The folders of published runs of the suite auto."""
    return sorted(path.parent for name in record_files.FILES for path in JUDGED.glob(f"*/{name}"))


def main(words: Sequence[str]) -> int:
    parser = Parser("python -m reports.auto", __doc__)
    parser.add_argument("records", metavar="RECORDS", type=Path, nargs="*",
                        help="a run's folder or record file")  # fmt: skip
    folders = parser.parse_args(words).records or [DEFAULT, *published()]
    try:
        found = [read(folder) for folder in folders]
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    print("\n".join(one.text for one in found), end="")
    return 0 if all(one.holds for one in found) else 1


if __name__ == "__main__":
    run(main)
