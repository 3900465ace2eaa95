"""How far contenders are from the float64 reference, gathered from single errors to verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.records import Result

from .reading import REFERENCE, Measured, Records, is_interpreted

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
    where: tuple[Measured, Result] | None
    interpreted: bool
    reason: str


def verdicts(records: Records, gradients: bool) -> Iterator[Verdict]:
    """On ordinary data, for values or for gradients; the reference itself is left out."""
    groups: dict[tuple[str, str, str, str], list[tuple[Measured, Result]]] = {}
    has_gradient = {
        (measured.case.loss, measured.case.variant)
        for measured, result in records.results()
        if quantity(result) and not is_value(result)
    }
    for measured, result in records.results():
        # What did not run has no quantity to name, and lacks values and gradients alike.
        neither = result.status == "not_run" and not quantity(result)
        wanted = result.metric in ERRORS and (neither or is_value(result) != gradients)
        if wanted and result.contender != REFERENCE:
            case = measured.case
            if case.data not in ORDINARY:
                continue
            if gradients and (case.loss, case.variant) not in has_gradient:
                continue
            key = (case.loss, case.variant, result.contender, case.dtype)
            groups.setdefault(key, []).append((measured, result))
    for key, found in groups.items():
        yield _verdict(key, found)


def by_data(records: Records) -> Iterator[Verdict]:
    """On each kind of data where losses go wrong, values and gradients of all variants alike."""
    groups: dict[tuple[str, str, str, str], list[tuple[Measured, Result]]] = {}
    for measured, result in records.results():
        case = measured.case
        wanted = result.metric in ERRORS and result.contender != REFERENCE
        if wanted and case.data not in ORDINARY:
            key = (case.data, "", result.contender, case.dtype)
            groups.setdefault(key, []).append((measured, result))
    for key, found in groups.items():
        yield _verdict(key, found)


def flipped(records: Records) -> list[tuple[Measured, Result, list[str]]]:
    """Results that a tie excuses which was decided the other way, and which ties those are."""
    return [
        (measured, result, [str(one) for one in result.protocol["flipped"]])
        for measured, result in records.results()
        if result.metric != "error_over_eager" and result.protocol.get("flipped")
    ]


def _verdict(key: tuple[str, str, str, str], found: list[tuple[Measured, Result]]) -> Verdict:
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


def _valued(found: list[tuple[Measured, Result]], metric: str) -> list[tuple[Measured, Result]]:
    return [(m, r) for m, r in found if r.metric == metric and r.value is not None]


def _worst(found: list[tuple[Measured, Result]]) -> float | None:
    return max((r.value for _, r in found if r.value is not None), default=None)


def failures(records: Records) -> list[tuple[Measured, Result]]:
    """What ran and is worse, whatever its metric; an error's multiple of eager's is left out, as
    it fails with the error itself."""
    return [
        (measured, result)
        for measured, result in records.results()
        if result.status == "worse" and result.metric != "error_over_eager"
    ]
