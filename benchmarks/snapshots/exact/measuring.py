"""Measures every exact row of a tree of losses. Imports torch only when it measures."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from marginbench.fields import sized
from marginbench.loss import Contender, Loss, Shape, Variant
from suites.gate import ours
from suites.shapes import shapes_of

from ... import library
from ...instruments import gpus
from . import growth
from .rows import ExactRow, Value

# Sizes that no tile divides. 300 classes are three chunks of the tiled heads.
SHAPES: Mapping[str, tuple[Shape, ...]] = {
    "head": (Shape(37, 19, 23), Shape(33, 20, 300)),
    "batch": (Shape(37, 19, 7), Shape(65, 32, 16)),
    "rows": (Shape(37, 19, 7), Shape(65, 32, 16)),
}
DTYPE, TARGET, SEED = "float32", gpus.MAIN, 0
# Recorded at the usual size too, not only at small ones: the large scratch is there.
USUAL_DTYPES = ("float32", "bfloat16")
RAN = ("peak_bytes", "total_bytes", "allocations", "operators")
RECORDED = ("launches", "peak_bytes", "total_bytes")
AGREEMENT = "agreement"
NOT_RUN, EXEMPT = "not run", "exempt"

Report = Callable[[int, int, str], None]


def _silent(done: int, total: int, what: str) -> None:
    pass


def measure(
    package: str = "marginbench", report: Report = _silent, *, losses: Collection[str] | None = None
) -> list[ExactRow]:
    """The rows of every loss of a tree, or of the named ones; no key comes twice.

    ``package`` is the name that the tree is imported under: another version of it, loaded under
    another name, is measured with the same cases. ``report(done, total, what)`` is called
    with the progress. Measured are this tree's own contenders of every variant: not peers, nor
    torch.compile's version of eager, nor the reference. A row's value is None if measuring failed,
    and "not run" at a size that the contender declares it does not take.
    """
    catalogue = importlib.import_module(f"{package}.catalogue")
    chosen = [
        (loss, variant)
        for loss in catalogue.losses()
        if losses is None or loss.name in losses
        for variant in loss.variants
    ]
    rows = [
        ExactRow(f"exact/{failure.name}", "", "import", None, failure.reason)
        for failure in catalogue.failures()
        if losses is None or failure.name in losses
    ]
    from .counting import steady

    with steady():
        for done, (loss, variant) in enumerate(chosen):
            report(done, len(chosen), f"{loss.name}/{variant.name}")
            rows += _variant(package, loss, variant)
            gc.collect()
    report(len(chosen), len(chosen), "")
    return rows


def _variant(package: str, loss: Loss, variant: Variant) -> Iterator[ExactRow]:
    """Only at the first size if a sibling variant does the same work."""
    from ..launches import SHAPES as USUAL

    sizes = shapes_of(variant, SHAPES)
    for contender in filter(ours, variant.contenders):
        shapes = sizes if variant.sweep else sizes[:1]
        if "triton" in contender.needs:
            usual = shapes_of(variant, USUAL)[0]
            for shape, dtype in (
                *((shape, DTYPE) for shape in shapes),
                *((usual, dtype) for dtype in USUAL_DTYPES),
            ):
                yield from _recorded(package, loss, variant, contender, shape, dtype)
        else:
            for shape in shapes:
                yield from _ran(package, loss, variant, contender, shape)
        yield _growth(package, loss, variant, contender)


def case_id(loss: Loss, variant: Variant, shape: Shape, dtype: str, where: str) -> str:
    return f"exact/{loss.name}/{variant.name}/{shape}/{dtype}/{where}"


def _recorded(
    package: str, loss: Loss, variant: Variant, contender: Contender, shape: Shape, dtype: str
) -> Iterator[ExactRow]:
    from . import recording

    def found() -> Mapping[str, Value]:
        return recording.count(package, loss, variant, contender, shape, dtype, TARGET)

    case = case_id(loss, variant, shape, dtype, TARGET)
    limit = _declared(contender, shape, dtype)
    yield from _rows(case, contender, RECORDED, found, limit)


def _ran(
    package: str, loss: Loss, variant: Variant, contender: Contender, shape: Shape
) -> Iterator[ExactRow]:
    case = case_id(loss, variant, shape, DTYPE, "cpu")
    limit = _declared(contender, shape, DTYPE, "cpu")

    def found() -> Mapping[str, Value]:
        from . import counting

        call = _call(package, loss, variant, contender, shape)
        call()
        return {**counting.allocations(call), "operators": counting.operators(call)}

    yield from _rows(case, contender, RAN, found, limit)
    if limit:
        yield ExactRow(case, contender.name, AGREEMENT, NOT_RUN, limit)
    else:
        yield _agreement(case, package, loss, variant, contender, shape)


def _rows(
    case: str,
    contender: Contender,
    metrics: tuple[str, ...],
    found: Callable[[], Mapping[str, Value]],
    limit: str,
) -> Iterator[ExactRow]:
    """One row for each metric, whatever happens."""
    from ...instruments.rows import explain

    values: Mapping[str, Value] = dict.fromkeys(metrics, NOT_RUN if limit else None)
    reason = limit
    if not limit:
        try:
            values = found()
        except Exception as error:
            reason = explain(error)
    for metric in metrics:
        yield ExactRow(case, contender.name, metric, values[metric], reason)


def _declared(contender: Contender, shape: Shape, dtype: str, device: str = "") -> str:
    """Why the contender declares that it does not take this; empty if it does. What the machine
    lacks is no such reason: that counts as not measured."""
    if dtype not in contender.dtypes:
        return f"does not take {dtype}: {', '.join(contender.dtypes)} alone"
    if device and device not in contender.devices:
        return f"does not run on {device}: {', '.join(contender.devices)} alone"
    return (contender.limit(shape, dtype) if contender.limit else None) or ""


def _subject(package: str, loss: Loss, variant: Variant, shape: Shape) -> tuple[Any, Any]:
    """What is called, and its inputs: drawn by the tree that the loss is from."""
    from ...instruments.rows import Subject

    subject = Subject(loss, variant, shape, DTYPE, "cpu")
    random_inputs = library.random_inputs(package)
    return subject, random_inputs(variant, shape, DTYPE, "cpu", SEED)


def _call(
    package: str, loss: Loss, variant: Variant, contender: Contender, shape: Shape
) -> Callable[[], Any]:
    """Forward and, for a loss, backward with reduction mean."""
    from ...agreement.truth import upstream

    subject, inputs = _subject(package, loss, variant, shape)
    function = loss.resolve(contender.entry)
    gradient = upstream(subject, "mean", SEED)
    return lambda: subject.evaluate(function, inputs, "mean", gradient)


def _agreement(
    case: str, package: str, loss: Loss, variant: Variant, contender: Contender, shape: Shape
) -> ExactRow:
    """``ok``, or ``worse`` if the error of any reduction is beyond the limit that `tolerance`
    derives. The errors themselves depend on the machine's rounding and are not pinned."""
    from ...agreement import comparison
    from ...instruments.contenders import BASE
    from ...instruments.rows import Candidate, explain

    def row(value: Value, reason: str = "") -> ExactRow:
        return ExactRow(case, contender.name, AGREEMENT, value, reason)

    try:
        subject, inputs = _subject(package, loss, variant, shape)
        found, base = (
            Candidate(one, loss.resolve(one.entry)) for one in (contender, variant.contender(BASE))
        )
        results = comparison.measure(subject, [found], inputs, SEED, eager=base)
    except Exception as error:
        return row(None, explain(error))
    for status, value in (("worse", "worse"), ("not_run", None)):
        wrong = [result for result in results if result.status == status]
        if wrong:
            of = " ".join(wrong[0].of.values())
            return row(value, f"{of}: {wrong[0].reason}")
    return row("ok") if results else row(None, "nothing was compared")


def _growth(package: str, loss: Loss, variant: Variant, contender: Contender) -> ExactRow:
    from . import counting, recording

    fused = "triton" in contender.needs
    sizes, where = (growth.RECORDED, TARGET) if fused else (growth.RAN, "cpu")
    at = sized(variant, sizes[variant.family])

    def peak_of(shape: Shape) -> int:
        shape = sized(variant, shape)
        if fused:
            counts = recording.count(package, loss, variant, contender, shape, DTYPE, TARGET)
            return counts["peak_bytes"]
        call = _call(package, loss, variant, contender, shape)
        call()
        return counting.allocations(call)["peak_bytes"]

    def found() -> Mapping[str, Value]:
        return {growth.METRIC: growth.share(variant.family, at, peak_of)}

    case = case_id(loss, variant, at, DTYPE, where)
    # A tree from before the field was there declares nothing.
    exempt = getattr(contender, "quadratic", "")
    if exempt:
        return ExactRow(case, contender.name, growth.METRIC, EXEMPT, exempt)
    corners = (sized(variant, shape) for _, shape in growth.corners(variant.family, at))
    limits = (_declared(contender, shape, DTYPE) for shape in corners)
    return next(_rows(case, contender, (growth.METRIC,), found, next(filter(None, limits), "")))
