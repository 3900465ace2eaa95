"""4. Agreement with the float64 reference: values and gradients."""

from __future__ import annotations

import itertools
from dataclasses import replace

from benchmarks.records.loading import Result

from .. import units
from ..agreement import (
    ERRORS,
    ORDINARY,
    Verdict,
    by_data,
    failures,
    flipped,
    is_value,
    quantity,
    verdicts,
)
from ..document import Block, Cell, Figure, Section, Table, Text, Tone, table
from ..matrices import Square, matrix
from ..reading import BASE
from ..rows import Rows
from .context import Context, mark
from .place import Place

TITLE = "Agreement with the reference"
ALLOWED = (
    "Eager's error is taken as at least the rounding step of the accumulation (1.2e-7 in "
    "float32), because it may be exact by chance; where few numbers are summed, it is the largest "
    "over several orders of summation. The bound is twice that, or twice the cost of rounding the "
    "exact result to its dtype where that is more. Eager itself, its compiled form and the "
    "functions of other libraries are held to a bound derived from dtype and size instead, so a "
    "large multiple need not be a failure for them. Where a loss selects, a tie within rounding "
    "may be decided either way: the tables show which ties were and how near they are, and the "
    "error is taken against the reference with the same decision."
)
_INTRO = (
    "Error against the float64 reference of the same definition, ||out - ref|| / ||ref||, in the "
    "worst case over shapes, reductions and (for gradients) inputs, under a non-uniform upstream "
    "gradient. Eager's column shows its own relative error in that dtype; the other columns show "
    f"the contender's error as a multiple of eager's on the same inputs. {ALLOWED} Where the "
    "reference would be too large to compute, eager in float64 stands in for it; the tables say "
    "where."
)
_STRESSED = (
    "The same on data where losses go wrong, one row per kind of data. A row covers all variants "
    "that it applies to, with their terms and gradients, at one small size. Numbers beyond a "
    "dtype's range must come out as not finite. Functions of other libraries are judged on "
    "ordinary data alone; a contender that runs on none of these kinds has no column."
)
_CAPTION = (
    "Eager: its relative error. Others: worst multiple of eager's error, darker the larger it is. "
    "✗ on red: failed. Dashed border: computed by Triton's interpreter, which shows right or wrong "
    "and nothing about a GPU's arithmetic. –: not run."
)


_KINDS = {"Values": False, "Gradients": True}


def section(context: Context) -> Section:
    by_kind = {
        title: Rows(verdicts(context.records, gradients)) for title, gradients in _KINDS.items()
    }
    if not any(by_kind.values()):
        return Section("agreement", TITLE, [Text("Agreement was not measured in this run.")])
    blocks: list[Block] = [Text(_INTRO)]
    blocks += _failed(context)
    for title, found in by_kind.items():
        if found:
            made = _figure(context, title, found)
            blocks.append(replace(made, quantities=_quantities(context, _KINDS[title])))
    stressed = Rows(by_data(context.records))
    able = stressed.but(state="not_run").each("contender")
    stressed = stressed.where(contender=tuple(able))
    if stressed:
        blocks += [Text(_STRESSED), _figure(context, "Data where losses go wrong", stressed)]
    blocks += _flipped(context)
    return Section("agreement", TITLE, blocks)


def _failed(context: Context) -> list[Block]:
    found = failures(context.records)
    if not found:
        ran = len(context.records.results.where(status="ok"))
        return [Text(f"Nothing failed: all {ran:,} results that ran are within their bounds.")]
    rows = [
        (Cell(f"✗ {context.label(measured)}", tone="bad", record=measured.case.id),
         mark(result.contender), _what(result), _value(result), result.reason)
        for measured, result in found
    ]  # fmt: skip
    columns = ("failed", "contender", "of", "figure", "why")
    return [table(columns, rows, f"Failures ({len(rows)})", numeric=("figure",))]


def _flipped(context: Context) -> list[Block]:
    found = flipped(context.records)
    if not found:
        return []
    rows = [
        (context.case_cell(measured, loss=True), mark(result.contender), _what(result),
         _value(result), "; ".join(says))
        for measured, result, says in found
    ]  # fmt: skip
    columns = ("case", "contender", "of", "figure", "decided otherwise, by a tie")
    return [table(columns, rows, f"Ties decided the other way ({len(rows)})", numeric=("figure",))]


def _what(result: Result) -> str:
    return " ".join((result.metric.replace("_", " "), *result.of.values()))


def _value(result: Result) -> str:
    text = units.figure(result.metric, result.value)
    return f"{text}×" if result.metric == "error_over_eager" and result.value is not None else text


def _figure(context: Context, title: str, found: Rows[Verdict]) -> Figure:
    rows = found.each(_row)
    there = found.by("contender", "dtype")
    dtypes = found.each("dtype")
    columns = [pair for pair in itertools.product(context.styles.order, dtypes) if pair in there]
    squares = {
        (rows.index(_row(v)), columns.index((v.contender, v.dtype))): _square(v) for v in found
    }
    name = f"agreement-{title.lower().replace(' ', '-')}"
    made = matrix(
        name, f"{title} against the reference", _CAPTION, rows, columns, squares, _data(found)
    )
    cases = context.records.results.where(metric=ERRORS).each("case")
    ids = tuple(
        case.id for case in cases
        if (f"{case.loss}/{case.variant}" if case.data in ORDINARY else case.data) in rows
    )  # fmt: skip
    return replace(made, cases=ids, metrics=ERRORS)


def _quantities(context: Context, gradients: bool) -> tuple[str, ...]:
    judged = context.records.results.where(metric=ERRORS)
    named = judged.where(lambda row: is_value(row.result) != gradients)
    return tuple(named.each(lambda row: quantity(row.result)))


def _row(verdict: Verdict) -> str:
    return f"{verdict.loss}/{verdict.variant}" if verdict.variant else verdict.loss


def _square(verdict: Verdict) -> Square:
    if verdict.state == "not_run":
        return Square(units.NOTHING, "not_run")
    if verdict.contender == BASE or verdict.worst_multiple is None:
        text, level = _power(verdict.worst_error), None
    else:
        text, level = _multiple(verdict.worst_multiple), verdict.worst_multiple
    if verdict.state == "failed":
        text = f"✗ {text}".strip(f" {units.NOTHING}")
    return Square(text, verdict.state, level, verdict.interpreted)


def _power(error: float | None) -> str:
    """Two digits are enough for an error: 2e-7."""
    if error is None:
        return units.NOTHING
    if error == 0:
        return "0"
    mantissa, exponent = f"{error:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _multiple(multiple: float) -> str:
    if multiple >= 1000:
        return _power(multiple)
    return f"{multiple:.0f}×" if multiple >= 100 else f"{multiple:.2g}×"


def _data(found: Rows[Verdict]) -> Table:
    rows = []
    for v in found:
        tone: Tone = "bad" if v.state == "failed" else "good" if v.state == "passed" else "quiet"
        state = {"failed": "✗ failed", "passed": "✓ passed", "not_run": f"not run: {v.reason}"}[
            v.state
        ]
        if v.interpreted:
            state += " (interpreter)"
        rows.append(
            (_row(v), mark(v.contender), v.dtype, Cell(state, tone=tone),
             Cell(_power(v.worst_error), record=v.where[0].case.id if v.where else ""),
             units.digits3(v.worst_multiple), _worst_at(v),
             f"{v.comparisons:,}")
        )  # fmt: skip
    columns = ("variant", "contender", "dtype", "verdict", "worst error", "× eager's", "worst at",
               "comparisons")  # fmt: skip
    return table(columns, rows, numeric=("worst error", "× eager's", "comparisons"))


def _worst_at(verdict: Verdict) -> str:
    if verdict.where is None:
        return units.NOTHING
    measured, result = verdict.where
    parts = [quantity(result), result.of.get("reduction", ""), measured.size]
    if "against" in result.of:
        parts.append(f"against {result.of['against']}")
    return " ".join(part for part in parts if part)


PLACES = (Place(50, section, "loss", weight=5),)
