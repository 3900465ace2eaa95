"""Whether a run's records show that a target of `suites.targets` is met.

The share of a machine's own limits takes rates measured on that machine: ``rates`` in a session's
information, ``bytes_per_s`` and ``flops_per_s_`` with a dtype's name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from marginbench import catalogue
from marginbench.fields import STANDARD
from marginbench.loss import Cost, Shape, Variant
from suites.interval import Interval
from suites.schema import CaseKey
from suites.targets import Target

from .comparison import main_pass, ratio
from .predicted import ITEMSIZE
from .reading import PASSES, Measured, Records

State = Literal["met", "missed", "unclear", "not measured"]


@dataclass(frozen=True)
class Outcome:
    """``figure`` is in the target's own terms: a ratio of times or a share. ``unclear``: its
    interval holds the bound, or a time has none, for too few rounds. ``reason`` says why nothing
    was measured."""

    state: State
    figure: Interval | None = None
    reason: str = ""


class _NotMeasured(Exception):
    pass


def outcome(target: Target, records: Records) -> Outcome:
    measured = next((m for m in records.cases if _decides(m.case, target)), None)
    try:
        if measured is None:
            raise _NotMeasured(_absent(target, records))
        figure = _figure(target, measured, records)
    except _NotMeasured as reason:
        return Outcome("not measured", reason=str(reason))
    return Outcome(_state(target, figure), figure)


def _state(target: Target, figure: Interval) -> State:
    if target.kind == "memory":  # bytes are exact
        return "met" if figure.estimate < target.bound else "missed"
    if figure.low is None or figure.high is None:
        return "unclear"
    if figure.low >= target.bound:
        return "met"
    return "missed" if figure.high < target.bound else "unclear"


def _decides(case: CaseKey, target: Target) -> bool:
    same = (case.suite, case.data, case.loss, case.variant, case.dtype, case.device)
    wanted = ("speed", "drawn", target.loss, target.variant, target.dtype, target.device)
    return same == wanted and case.shape == target.shape


def declared(target: Target) -> Variant | None:
    """The variant that the target speaks of, where it is (still) there."""
    for loss in catalogue.losses():
        if loss.name == target.loss:
            return next((v for v in loss.variants if v.name == target.variant), None)
    return None


def _names(target: Target) -> list[str]:
    return [name for name in (target.contender, target.against) if name]


def _absent(target: Target, records: Records) -> str:
    """Why the run has no such case."""
    variant = declared(target)
    if variant is None:
        return f"no such loss or variant: {target.loss}/{target.variant}"
    _check_declared(target, variant, ())
    for name in _names(target):
        limit = variant.contender(name).limit
        stops = limit(target.shape, target.dtype) if limit else None
        if stops:
            return f"{name}: {stops}"
    if target.device not in records.cases.each("device"):
        lacking = records.results.first(
            lambda row: row.reason.startswith("needs "),
            loss=target.loss, variant=target.variant, contender=tuple(_names(target)),
        )  # fmt: skip
        if lacking:
            return lacking.reason
        if target.device == "cuda":
            return "needs CUDA: this run was measured on the CPU alone"
        return f"this run has no case on {target.device}"
    return f"this run has no such case: marginbench run --case {target.case}"


def _check_declared(target: Target, variant: Variant | None, there: Sequence[str]) -> None:
    known = {contender.name for contender in variant.contenders} if variant else set()
    for name in _names(target):
        if name not in known | set(there):
            raise _NotMeasured(f"no such contender: {name}")


def _figure(target: Target, measured: Measured, records: Records) -> Interval:
    metric = "peak_bytes" if target.kind == "memory" else main_pass(measured)
    _check_declared(target, declared(target), measured.contenders())
    for name in _names(target):
        if measured.is_wrong(name):
            raise _NotMeasured(f"{name} disagreed with the reference in this case")
        if measured.figure(name, metric) is None:
            raise _NotMeasured(_unmeasured(measured, name, metric))
    if target.kind == "speed":
        found = ratio(measured, metric, target.against, target.contender)
    elif target.kind == "memory":
        found = _share_of_matrix(target, measured)
    else:
        found = _share_of_limit(target, measured, metric, records)
    if found is None:
        raise _NotMeasured("its figures can't be compared")
    return found


def _unmeasured(measured: Measured, name: str, metric: str) -> str:
    said = measured.results.first("reason", metric=(metric, *PASSES), contender=name)
    return f"{name}: {said.reason}" if said else f"{name} has no figure in this case"


def gradient_elements(names: Sequence[str], shape: Shape) -> int:
    """Elements of the gradients by these arguments: no part of the extra memory."""
    rows = STANDARD["embeddings"]
    return sum(math.prod(shape.of(STANDARD.get(name, rows).sizes)) for name in names)


def matrix_bytes(target: Target) -> int:
    """B x C logits in the inputs' dtype; B x B distances in float32, as they are summed."""
    if target.matrix == "BxB":
        return target.shape.batch**2 * ITEMSIZE["float32"]
    return target.shape.batch * target.shape.classes * ITEMSIZE[target.dtype]


def _share_of_matrix(target: Target, measured: Measured) -> Interval | None:
    variant, peak = declared(target), measured.value(target.contender, "peak_bytes")
    if variant is None or peak is None:
        return None
    gradients = gradient_elements(variant.differentiable, target.shape) * ITEMSIZE[target.dtype]
    return Interval((peak - gradients) / matrix_bytes(target), None, None, 1)


def _share_of_limit(
    target: Target, measured: Measured, metric: str, records: Records
) -> Interval | None:
    session = next((s for s in records.sessions if s.session == measured.session), None)
    rates = session.information.get("rates") if session else None
    products = target.kind == "products"
    name = f"flops_per_s_{target.dtype}" if products else "bytes_per_s"
    rate = rates.get(name) if isinstance(rates, dict) else None
    if not isinstance(rate, int | float) or rate <= 0:
        what = "matrix rate" if products else "memory bandwidth"
        raise _NotMeasured(f"the run holds no measured {what} of its machine")
    variant, time = declared(target), measured.median(target.contender, metric)
    if variant is None or time is None:
        return None
    cost = variant.cost(target.shape, ITEMSIZE[target.dtype])
    least_s = (_products(cost) if products else cost.forward_bytes + cost.backward_bytes) / rate
    return time.inverse.times(least_s)


def _products(cost: Cost) -> int:
    """Of a kernel that makes forward's products again in backward."""
    return 2 * cost.forward_flops + cost.backward_flops
