"""How near a contender comes to what the machine can do at most.

A case's cost model says how many bytes and operations it takes at least; over the measured time
that is a rate. The roof is what the machine was measured to reach: its bandwidth times the
intensity, and its rate of matrix products. Without measured rates there is no roof, and none is
taken from a data sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from marginbench import catalogue
from marginbench.loss import Cost
from suites.interval import Interval
from suites.schema import CaseKey

from .. import document, drawing, units
from ..comparison import main_pass
from ..document import Cell
from ..plot import Axis, Panel, Plot, Series, ends
from ..predicted import ITEMSIZE
from ..reading import REFERENCE, Measured
from ..rows import Rows
from ..sections.context import mark, slug
from ..style import LIMIT, Styles, short

WIDTH, HEIGHT = 8.6, 4.4
NO_RATES = (
    "There is no roof in this figure: the bandwidth and the matrix rate of this machine were not "
    "measured. python -m benchmarks.rates measures them."
)


@dataclass(frozen=True)
class Point:
    """``intensity``: operations a byte at least; ``rate``: operations a second, with its interval;
    ``share`` of the roof, None where there is none."""

    measured: Measured
    contender: str
    intensity: float
    rate: Interval
    share: float | None
    time: Interval

    @property
    def case(self) -> CaseKey:
        return self.measured.case


def points(cases: Sequence[Measured], rates_of: Mapping[int, Mapping[str, float]]) -> Rows[Point]:
    """``rates_of``: measured rates by machine. The float64 reference is left out."""
    found = []
    for measured in cases:
        cost = _cost(measured)
        metric = main_pass(measured)
        if cost is None or metric == "backward_time_s":
            continue
        whole = metric == "both_time_s"
        flops = cost.forward_flops + cost.backward_flops * whole
        read = cost.forward_bytes + cost.backward_bytes * whole
        if not flops or not read:
            continue
        roof = _roof(measured, rates_of.get(measured.machine, {}), flops / read)
        for contender in measured.contenders():
            time = measured.median(contender, metric)
            if time is None or contender == REFERENCE:
                continue
            rate = time.inverse.times(flops)
            share = rate.estimate / roof if roof else None
            found.append(Point(measured, contender, flops / read, rate, share, time))
    return Rows(found)


def _cost(measured: Measured) -> Cost | None:
    """None where the records hold another version of the definition, or one that is gone."""
    case = measured.case
    if case.loss not in catalogue.names() or case.dtype not in ITEMSIZE:
        return None
    variants = {v.name: v for v in catalogue.get(case.loss).variants}
    variant = variants.get(case.variant)
    if variant is None or variant.version != case.variant_version:
        return None
    return variant.cost(case.shape, ITEMSIZE[case.dtype])


def _roof(measured: Measured, rates: Mapping[str, float], intensity: float) -> float | None:
    bandwidth = rates.get("bytes_per_s")
    products = rates.get(f"flops_per_s_{measured.case.dtype}")
    if not bandwidth or not products:
        return None
    return min(products, bandwidth * intensity)


def figure(
    loss: str, found: Rows[Point], rates: Mapping[str, float], styles: Styles
) -> document.Figure:
    caption = (
        "The least operations of a case over its measured median time, with the 95% interval; "
        "both axes logarithmic. Operations beyond the least lower the rate."
    )
    if not rates:
        caption = f"{caption} {NO_RATES}"
    panel = Panel(
        Axis("arithmetic intensity at least (operations per byte)", log=True),
        Axis("rate reached (operations per second)", log=True, show=_rate),
        [*_dots(found, styles), *_roofs(found, rates)],
    )
    return drawing.draw(Plot(
        slug("roofline", loss), f"{loss}: roofline", caption, _alt(loss, found), _table(found),
        [panel], WIDTH, HEIGHT, legend="right",
        cases=tuple(found.each("id")),
        metrics=tuple(found.each(lambda point: main_pass(point.measured))),
    ))  # fmt: skip


def _dots(found: Rows[Point], styles: Styles) -> Iterator[Series]:
    for contender in styles.order:
        own = found.where(contender=contender)
        if own:
            yield Series(
                [p.intensity for p in own], [p.rate.estimate for p in own], styles[contender],
                short(contender, 28), join="", **ends([p.rate for p in own]),
            )  # fmt: skip


def _roofs(found: Rows[Point], rates: Mapping[str, float]) -> Iterator[Series]:
    bandwidth = rates.get("bytes_per_s")
    if not bandwidth:
        return
    low = min(p.intensity for p in found) / 1.5
    high = max(p.intensity for p in found) * 1.5
    for dtype in found.each("dtype"):
        products = rates.get(f"flops_per_s_{dtype}")
        if products:
            x = [low, min(max(products / bandwidth, low), high), high]
            y = [min(products, bandwidth * value) for value in x]
            yield Series(x, y, LIMIT, f"measured roof, {dtype}")


def _rate(value: float) -> str:
    for step, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= step:
            return f"{value / step:g} {unit}op/s"
    return f"{value:g} op/s"


def _alt(loss: str, found: Rows[Point]) -> str:
    parts = [
        f"{name} reaches at most {units.digits3(p.rate.estimate / 1e9)} billion operations a "
        f"second ({p.case.variant}, {p.measured.size})"
        for name, own in found.by("contender").items()
        for p in (max(own, key=lambda point: point.rate.estimate),)
    ]
    return f"Scatter of the rate reached against arithmetic intensity, {loss}. {'; '.join(parts)}."


def _table(found: Sequence[Point]) -> document.Table:
    rows = [
        (p.case.variant, p.measured.size, p.case.dtype, mark(p.contender),
         f"{p.intensity:.3g}", Cell(units.time(p.time.estimate), record=p.case.id),
         f"{units.digits3(p.rate.estimate / 1e9)}",
         units.NOTHING if p.share is None else f"{p.share:.1%}")
        for p in found
    ]  # fmt: skip
    columns = ("variant", "size", "dtype", "contender", "operations per byte", "median time",
               "billion operations per s", "of the roof")  # fmt: skip
    return document.table(columns, rows, numeric=columns[4:])
