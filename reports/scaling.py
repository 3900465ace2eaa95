"""Which cases lie on one line: the same in everything but the batch, the dimension or the number
of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from marginbench import catalogue
from suites.interval import Interval
from suites.schema import CaseKey

from . import statistics
from .comparison import main_pass
from .reading import Measured, Records
from .rows import Rows
from .statistics import Growth

AXES = ("batch", "dim", "classes")
SYMBOL = {"batch": "B", "dim": "D", "classes": "C"}
# As it is written in a sentence.
WORDS = {"batch": "batch", "dim": "dimension", "classes": "classes"}


@dataclass(frozen=True)
class Line:
    """One contender over the sizes: each size's median with its interval, the fit, and the id of
    the case that each size was measured in."""

    contender: str
    points: dict[int, Interval]
    growth: Growth | None
    cases: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """One variant over one axis; ``fixed`` says what did not change."""

    loss: str
    variant: str
    family: str
    metric: str
    dtype: str
    device: str
    data: str
    machine: int
    axis: str
    fixed: str
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        return f"{self.loss}/{self.variant}"

    @property
    def sizes(self) -> list[int]:
        return sorted({size for line in self.lines for size in line.points})


def _line_key(measured: Measured, axis: str) -> tuple[object, ...] | None:
    """What a line's cases share. Over the batch, a batch loss keeps its samples per class and a
    head its classes; independent rows have no use for classes."""
    case = measured.case
    common: tuple[object, ...] = (
        case.loss, case.variant, case.variant_version, case.family, case.dtype, case.device,
        case.data, case.seed, measured.machine, _own(case),
    )  # fmt: skip
    if axis == "dim":
        return (*common, case.batch, 0 if case.family == "rows" else case.classes)
    common = (*common, case.dim)
    if axis == "classes":
        return None if case.family == "rows" else (*common, case.batch)
    if case.family == "batch":
        return (*common, Fraction(case.batch, max(case.classes, 1)))
    return (*common, case.classes if case.family == "head" else 0)


def _own(case: CaseKey) -> tuple[tuple[str, int], ...]:
    """The variant's own sizes but for those that follow from the others as it declares them."""
    if not case.sizes or case.loss not in catalogue.names():
        return case.sizes
    declared = {v.name: v.sizes for v in catalogue.get(case.loss).variants}.get(case.variant, {})
    return tuple(own for own in case.sizes if not callable(declared.get(own[0])))


def _fixed(measured: Measured, axis: str) -> str:
    case = measured.case
    own = "".join(f", {letter}={size:,}" for letter, size in _own(case))
    if axis == "classes":
        return f"B={case.batch:,}, D={case.dim:,}{own}"
    if axis == "dim":
        classes = f", C={case.classes:,}" if case.family != "rows" else ""
        return f"B={case.batch:,}{classes}{own}"
    if case.family == "head":
        return f"D={case.dim:,}, C={case.classes:,}{own}"
    if case.family == "batch":
        per_class = Fraction(case.batch, max(case.classes, 1))
        return f"D={case.dim:,}, {per_class} samples a class{own}"
    return f"D={case.dim:,}{own}"


def panels(records: Records, axis: str, memory: bool = False) -> Iterator[Panel]:
    """Every variant that was measured at two sizes or more along the axis."""
    groups = records.cases.by(lambda measured: _line_key(measured, axis))
    groups.pop(None, None)
    for group in groups.values():
        first = group[0]
        metric = "peak_bytes" if memory else main_pass(first)
        lines = tuple(_lines(group, axis, metric))
        case = first.case
        if len({size for line in lines for size in line.points}) > 1:
            yield Panel(
                case.loss, case.variant, case.family, metric, case.dtype, case.device, case.data,
                first.machine, axis, _fixed(first, axis), lines,
            )  # fmt: skip


def _lines(group: Rows[Measured], axis: str, metric: str) -> Iterator[Line]:
    contenders = dict.fromkeys(name for measured in group for name in measured.contenders())
    for contender in contenders:
        rounds: dict[float, Sequence[float]] = {}
        points: dict[int, Interval] = {}
        ids: dict[int, str] = {}
        for measured in group:
            interval = measured.median(contender, metric)
            if interval is not None:
                size = getattr(measured.case, axis)
                points[size], ids[size] = interval, measured.case.id
                rounds[size] = measured.rounds(contender, metric)
        if points:
            yield Line(contender, dict(sorted(points.items())), statistics.growth(rounds), ids)
