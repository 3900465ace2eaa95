"""6. Real embeddings beside the drawn ones: mining and margins behave differently there."""

from __future__ import annotations

from ..document import Section, Text
from ..reading import Measured
from .context import Context
from .place import Place
from .speeds import DRAWN, speeds, timed

TITLE = "Real embeddings"
_INTRO = (
    "Each loss on embeddings of a small trained network and, below it, the nearest case by size "
    "with drawn (random) inputs. Sizes differ, so compare ratios to eager, not times."
)


def section(context: Context) -> Section:
    real = [measured for measured in context.records.cases if measured.case.suite == "real"]
    beside = [(one, _nearest(context, one)) for one in real if timed(one)]
    if not beside:
        why = "were measured, but none was timed" if real else "were not measured in this run"
        said = [Text(f"Embeddings of a trained network {why}.")]
        return Section("real", TITLE, said, empty=not real)
    cases = [one for pair in beside for one in pair if one is not None]
    made = speeds(context, cases, "Real and drawn: speed relative to eager")
    return Section("real", TITLE, [Text(_INTRO), made])


def _nearest(context: Context, real: Measured) -> Measured | None:
    """Of the same definition, dtype and machine: nearest in batch, then in classes."""
    alike = [
        other
        for other in context.records.cases
        if other.case.data == DRAWN and _definition(other) == _definition(real) and timed(other)
    ]
    return min(alike, key=lambda other: _distance(other, real), default=None)


def _definition(measured: Measured) -> tuple[object, ...]:
    case = measured.case
    return (case.loss, case.variant, case.variant_version, case.dtype, case.device,
            measured.machine)  # fmt: skip


def _distance(one: Measured, other: Measured) -> tuple[int, int]:
    a, b = one.case, other.case
    return abs(a.batch - b.batch), abs(a.classes - b.classes)


PLACES = (Place(70, section, "loss"),)
