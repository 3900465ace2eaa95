"""How far contenders are from the float64 reference, gathered from single errors to verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.records.loading import Result

from .reading import REFERENCE, Measured, Records, Row, is_interpreted
from .rows import Column, Rows

# Of all other data its name says in which way losses go wrong there.
ORDINARY = ("drawn", "digits")
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
    results = records.results.where(lambda row: quantity(row.result) and not is_value(row.result))
    has_gradient = results.by("loss", "variant")

    def wanted(row: Row) -> bool:
        # What did not run has no quantity to name, and lacks values and gradients alike.
        neither = row.status == "not_run" and not quantity(row.result)
        declared = not gradients or (row.case.loss, row.case.variant) in has_gradient
        return declared and (neither or is_value(row.result) != gradients)

    return _verdicts(errors(records).where(wanted, data=ORDINARY), "loss", "variant")


def by_data(records: Records) -> Iterator[Verdict]:
    """On each kind of data where losses go wrong, values and gradients of all variants alike."""
    return _verdicts(errors(records).but(data=ORDINARY), "data", lambda row: "")


def errors(records: Records) -> Rows[Row]:
    """Every comparison with the reference; its own with itself is left out."""
    return records.results.where(metric=ERRORS).but(contender=REFERENCE)


def _verdicts(rows: Rows[Row], *of: Column) -> Iterator[Verdict]:
    groups = rows.by(*of, "contender", "dtype")
    return (_verdict(key, found) for key, found in groups.items())


def flipped(records: Records) -> list[tuple[Measured, Result, list[str]]]:
    """Results that a tie excuses which was decided the other way, and which ties those are."""
    return [
        (measured, result, [str(one) for one in result.protocol["flipped"]])
        for measured, result in records.results.but(metric="error_over_eager")
        if result.protocol.get("flipped")
    ]


def _verdict(key: tuple[str, str, str, str], found: Rows[Row]) -> Verdict:
    ran = found.but(status="not_run")
    failures = ran.where(status="worse")
    valued = ran.but(value=None)
    errors, multiples = (valued.where(metric=metric) for metric in ERRORS)
    state = "failed" if failures else "passed" if ran else "not_run"
    # A failure without a figure (a NaN can't be written) is the worst there is.
    candidates = failures.where(value=None) or multiples or errors
    return Verdict(
        *key,
        state=state,
        comparisons=len(ran.where(metric=ERRORS[0])),
        failures=len(failures),
        worst_error=_worst(errors),
        worst_multiple=_worst(multiples),
        where=max(candidates, key=lambda row: row.value or 0, default=None),
        interpreted=any(is_interpreted(row.result) for row in ran),
        reason=(failures or found)[0].reason,
    )


def _worst(found: Rows[Row]) -> float | None:
    return max((row.value for row in found), default=None)


def failures(records: Records) -> Rows[Row]:
    """What ran and is worse, whatever its metric; an error's multiple of eager's is left out, as
    it fails with the error itself."""
    return records.results.where(status="worse").but(metric="error_over_eager")
