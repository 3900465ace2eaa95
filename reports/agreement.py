"""How far contenders are from the float64 reference, gathered from single errors to verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.records.loading import Result
from suites.schema import CaseKey

from .grouping import grouped
from .reading import REFERENCE, Measured, Records, Row, is_interpreted

# Of all other data its name says in which way losses go wrong there.
ORDINARY = {"drawn", "digits"}
VALUE_NAMES = {"", "forward", "value", "values", "output", "loss"}
ERRORS = ("relative_error", "error_over_eager")


def is_value(result: Result) -> bool:
    """The loss itself, and not the gradient of an input."""
    return quantity(result) in VALUE_NAMES


def quantity(result: Result) -> str:
    return result.of.get("quantity", "")


@dataclass(frozen=True)
class Verdict:
    """One contender on one variant in one dtype, over all shapes, reductions and quantities; or
    on one kind of data, ``loss``, over all variants.

    ``worst_error`` and ``worst_multiple`` (of eager's own error) are maxima over what was
    measured; ``where`` is the result with the worst multiple, or else the worst error.
    """

    loss: str
    variant: str
    contender: str
    dtype: str
    state: str  # passed, failed, not_run
    comparisons: int
    failures: int
    worst_error: float | None
    worst_multiple: float | None
    where: Row | None
    interpreted: bool
    reason: str


def verdicts(records: Records, gradients: bool) -> Iterator[Verdict]:
    """On ordinary data, for values or for gradients; the reference itself is left out."""
    has_gradient = {
        (measured.case.loss, measured.case.variant)
        for measured, result in records.results()
        if quantity(result) and not is_value(result)
    }

    def wanted(measured: Measured, result: Result) -> bool:
        # What did not run has no quantity to name, and lacks values and gradients alike.
        neither = result.status == "not_run" and not quantity(result)
        declared = not gradients or (measured.case.loss, measured.case.variant) in has_gradient
        return declared and (neither or is_value(result) != gradients)

    rows = [row for row in errors(records) if row[0].case.data in ORDINARY and wanted(*row)]
    return _verdicts(rows, lambda case: (case.loss, case.variant))


def by_data(records: Records) -> Iterator[Verdict]:
    """On each kind of data where losses go wrong, values and gradients of all variants alike."""
    rows = [row for row in errors(records) if row[0].case.data not in ORDINARY]
    return _verdicts(rows, lambda case: (case.data, ""))


def errors(records: Records) -> Iterator[Row]:
    """Every comparison with the reference; its own with itself is left out."""
    return (row for row in records.results(metrics=ERRORS) if row[1].contender != REFERENCE)


def _verdicts(
    rows: Sequence[Row], row_of: Callable[[CaseKey], tuple[str, str]]
) -> Iterator[Verdict]:
    groups = grouped(rows, lambda row: (*row_of(row[0].case), row[1].contender, row[0].case.dtype))
    return (_verdict(key, found) for key, found in groups.items())


def flipped(records: Records) -> list[tuple[Measured, Result, list[str]]]:
    """Results that a tie excuses which was decided the other way, and which ties those are."""
    return [
        (measured, result, [str(one) for one in result.protocol["flipped"]])
        for measured, result in records.results()
        if result.metric != "error_over_eager" and result.protocol.get("flipped")
    ]


def _verdict(key: tuple[str, str, str, str], found: list[Row]) -> Verdict:
    ran = [(m, r) for m, r in found if r.status != "not_run"]
    failures = [(m, r) for m, r in ran if r.status == "worse"]
    errors = _valued(ran, "relative_error")
    multiples = _valued(ran, "error_over_eager")
    state = "failed" if failures else "passed" if ran else "not_run"
    # A failure without a figure (a NaN can't be written) is the worst there is.
    blank = [(m, r) for m, r in failures if r.value is None]
    candidates = blank or multiples or errors
    worst = max(candidates, key=lambda pair: pair[1].value or 0, default=None)
    return Verdict(
        *key,
        state=state,
        comparisons=sum(r.metric == "relative_error" for _, r in ran),
        failures=len(failures),
        worst_error=_worst(errors),
        worst_multiple=_worst(multiples),
        where=worst,
        interpreted=any(is_interpreted(r) for _, r in ran),
        reason=(failures or found)[0][1].reason,
    )


def _valued(found: list[Row], metric: str) -> list[Row]:
    return [(m, r) for m, r in found if r.metric == metric and r.value is not None]


def _worst(found: list[Row]) -> float | None:
    return max((r.value for _, r in found if r.value is not None), default=None)


def failures(records: Records) -> list[Row]:
    """What ran and is worse, whatever its metric; an error's multiple of eager's is left out, as
    it fails with the error itself."""
    return [row for row in records.results("worse") if row[1].metric != "error_over_eager"]
