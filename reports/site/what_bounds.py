"""What bounds a loss's Triton kernels on each GPU, and how long its streams should take on one:
counts and predictions without a GPU. They are never in a table or a figure with what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from benchmarks.instruments import gpus
from benchmarks.snapshots import bounds as counted
from benchmarks.snapshots import pins, stream_times
from benchmarks.snapshots.bounds import Bounds, Case
from marginbench.fields import sized
from marginbench.loss import Loss, Shape, Variant

from .. import document, drawing, units
from ..document import Block, Cell, Document, Figure, Link, Links, Table, Text, table
from ..plot import Axis, Panel, Plot, Series
from ..rows import Rows
from ..sections.context import slug
from ..style import style_at
from .frame import SHARED

NAME, TITLE = "bounds", "What bounds the Triton kernels"
SIZES = (Shape(1024, 512, 100_000), Shape(1024, 512, 1_000_000))
STREAM = Shape(1_048_576, 128, 1024)
CONTENDER, DTYPE, STREAM_DTYPE = "triton", "bfloat16", "float32"
_ELSEWHERE = "Each bound of each of these kernels on each GPU, beside those of other losses:"
NOT_PUBLISHED = "not published"
WIDTH, HEIGHT = 8.6, 3.0
_DRAWN = 0.01
_COUNTED = (
    "Counted without a GPU, not measured: a kernel takes at least as long as each of its bounds, "
    "and how much longer they do not say. Products and bytes from memory are the loss's least; "
    "from the L2 cache the programs of the pinned tiles read their blocks, past the L1 cache; an "
    "exponential a logit. Issue slots are near a bound only: all compiled instructions once a "
    "tile, which is too many of those outside the loop over tiles and too few of those inside the "
    "loop over D. Where shares are unequal, the busiest processor's count. Each is divided by a "
    "published rate: {}. The clock is what the sheet's float32 rate needs. Nobody publishes what "
    "a launch takes: launches are counted, and have no bound."
)
_RULE = (
    "Predicted, not measured, for an H100 alone: the least bytes of a pass over {share:.0%} of the "
    "data sheet's {rate:.3g} TB/s, and {start}. The rule is not fitted to these kernels. It was "
    "within 15% of all 21 H100 rows that Liger-Kernel publishes (benchmark/data) of its own "
    "elementwise and reduction kernels that move 64 MB or more, and within 8% of 20 of them; below "
    "64 MB, on other GPUs and of matrix products nothing is predicted."
)
# By size, then by target.
Found = Mapping[Shape, Mapping[str, Sequence[Bounds]]]


def section(loss: Loss, rows: Sequence[pins.Row]) -> list[Block]:
    """Of the loss's pinned ``rows``; empty where it has neither a head nor a stream."""
    blocks: list[Block] = []
    found = bounds(loss, rows)
    if found:
        blocks += [
            Text(_taken(found), "answer"),
            Text(_COUNTED.format(_sources()), "note"),
            figure(loss.name, found),
            Links((Link("shared kernels", f"{SHARED}#{NAME}"),), _ELSEWHERE),
        ]
    predictions = list(_predictions(loss))
    if predictions:
        card = gpus.TARGETS[stream_times.TARGET].sheet.card
        rule = _RULE.format(share=stream_times.SHARE, rate=card.bytes_per_s / 1e12,
                            start=units.time(stream_times.START_S))  # fmt: skip
        columns = ("variant", "size", "pass", "bytes at least", "predicted time")
        caption = f"{card.name}, {STREAM_DTYPE}: predicted, not measured"
        blocks += [Text(rule, "note"), table(columns, predictions, caption, numeric=columns[3:])]
    return blocks


def figures(page: Document) -> list[Figure]:
    """Those of this section, which no machine's records have files of."""
    return [one for own in page.sections if own.name == NAME
            for one in document.figures(own.blocks)]  # fmt: skip


def bounds(loss: Loss, rows: Sequence[pins.Row]) -> Found:
    """Of the first variant over class weights that the kernels take; empty where none is pinned."""
    variant = next(_of_family(loss, "head"), None)
    if variant is None:
        return {}
    found = {}
    for shape in SIZES:
        cost = variant.cost(shape, counted.ITEMSIZE[DTYPE])
        case = Case(shape, DTYPE, cost, "bias" in variant.differentiable)
        each = {target: counted.bounds(rows, target, case) for target in gpus.TARGETS}
        if any(each.values()):
            found[shape] = {target: own for target, own in each.items() if own}
    return found


def _of_family(loss: Loss, family: str) -> Iterator[Variant]:
    for variant in loss.variants:
        if variant.family == family and any(c.name == CONTENDER for c in variant.contenders):
            yield variant


def _taken(found: Found) -> str:
    """What to take from it, in a line."""
    shape, each = list(found.items())[-1]
    target = gpus.MAIN if gpus.MAIN in each else next(iter(each))
    own = _longest(each[target])
    said = [f"{_name(one)} takes at least {units.time(one.least_s)}, by its {one.largest}"
            for one in own]  # fmt: skip
    line = f"On {gpus.TARGETS[target].sheet.card.name}, at {_size(shape)}: {'; '.join(said)}."
    if own[0].seconds[counted.L2] is None:
        rates = " and ".join(f"{units.decimal(one.l2_bytes_per_s)}B/s" for one in own)
        line += f" Within that, the L2 cache would have to give {rates}: its rate is not published."
    return line


def _longest(found: Sequence[Bounds]) -> list[Bounds]:
    """Those that matter: with a hundredth of the longest bound or more."""
    longest = max(one.least_s for one in found)
    return [one for one in found if one.least_s >= _DRAWN * longest]


def _sources() -> str:
    return "; ".join(_sheet(name, target.sheet) for name, target in gpus.TARGETS.items())


def _sheet(target: str, sheet: gpus.Sheet) -> str:
    card, processors = sheet.card, gpus.TARGETS[target].processors
    clock = sheet.clock_hz(processors)
    l2 = NOT_PUBLISHED
    if sheet.l2_bytes:
        l2 = f"{units.digits3(sheet.l2_bytes * clock / 1e12)} TB/s ({sheet.l2_source})"
    rates = [
        f"{card.flops_per_s[DTYPE] / 1e12:.4g} TFLOP/s in {DTYPE}",
        f"{card.bytes_per_s / 1e12:.4g} TB/s from memory ({card.source})",
        f"L2 cache {l2}",
        f"{processors} processors at {clock / 1e9:.3g} GHz",
        f"exponentials a clock and processor {sheet.exponentials or NOT_PUBLISHED}",
        f"instructions {sheet.issued or NOT_PUBLISHED}",
    ]
    return f"{card.name}: {', '.join(rates)}"


def figure(loss: str, found: Found) -> Figure:
    """The bars of each bound on the main target, a panel a size."""
    shown = {shape: _longest(each[gpus.MAIN]) for shape, each in found.items() if gpus.MAIN in each}
    card = gpus.TARGETS[gpus.MAIN].sheet.card.name
    panels = [
        Panel(
            Axis(ticks=range(len(counted.NAMES)), names=_ticks(own), slanted=True),
            Axis("time at least", limits=(0.0, None), show=lambda t: units.tick(units.time(t))),
            [_bars(one, place, len(own)) for place, one in enumerate(own)],
            title=f"C = {shape.classes:,}",
        )
        for shape, own in shown.items()
    ]
    caption = (
        f"The bounds of the longest kernels on {card} ({gpus.MAIN}), {DTYPE}: counts over "
        "published rates, not measured. A kernel takes at least as long as its highest bar."
    )
    alt = "; ".join(
        f"{_name(one)} at C={shape.classes:,}: {one.largest} {_time(one, one.largest)}"
        for shape, own in shown.items() for one in own
    )  # fmt: skip
    rows = [
        (f"{shape.classes:,}", _name(one), *(_time(one, name) for name in counted.NAMES))
        for shape, own in shown.items() for one in own
    ]  # fmt: skip
    columns = ("C", "kernel", *counted.NAMES)
    return drawing.draw(Plot(
        slug("bounds", loss), f"{loss}: what bounds its kernels", caption,
        f"Bars of the least times by what bounds them. Highest: {alt}.",
        table(columns, rows, numeric=("C", *counted.NAMES)), panels, WIDTH, HEIGHT, legend="above",
    ))  # fmt: skip


def _bars(one: Bounds, place: int, count: int) -> Series:
    """A histogram whose bins are the bars, with an empty one after each."""
    width = 0.8 / count
    edges: list[float] = []
    heights: list[float] = []
    for at, name in enumerate(counted.NAMES):
        left = at - 0.4 + place * width
        edges += [left, left + width]
        heights += [one.seconds[name] or 0.0, 0.0]
    return Series(edges, heights[:-1], style_at(place), _name(one), join="bins")


def _ticks(found: Sequence[Bounds]) -> list[str]:
    unknown = {name for one in found for name in counted.NAMES if one.seconds[name] is None}
    return [f"{name}, {NOT_PUBLISHED}" if name in unknown else name for name in counted.NAMES]


def of_all(by_loss: Mapping[str, Found]) -> list[Block]:
    """Each bound of each kernel on each GPU; what several losses have alike is one row."""
    return [
        _table(shape, target, {
            loss: found[shape][target] for loss, found in by_loss.items()
            if target in found.get(shape, {})
        }) for shape in SIZES for target in gpus.TARGETS
        if any(target in found.get(shape, {}) for found in by_loss.values())
    ]  # fmt: skip


def _table(shape: Shape, target: str, by_loss: Mapping[str, Sequence[Bounds]]) -> Table:
    alike = Rows((_row(one), loss) for loss, found in by_loss.items() for one in found)
    kernels = alike.each(lambda one: one[0][0])
    rows = [
        (row[0], ", ".join(found.each(itemgetter(1))), *row[1:])
        for row, found in alike.by(itemgetter(0)).items()
    ]
    rows.sort(key=lambda row: kernels.index(row[0]))
    card = gpus.TARGETS[target].sheet.card.name
    caption = (
        f"{card} ({target}), {_size(shape)}: the least time by each bound, not measured; each "
        "kernel is launched once a call"
    )
    columns = ("kernel", "losses", *counted.NAMES, "occupancy", "largest bound")
    return table(columns, rows, caption, numeric=counted.NAMES)


def _row(one: Bounds) -> tuple[Cell, ...]:
    limits, processors = gpus.TARGETS[one.target].limits, gpus.TARGETS[one.target].processors
    return (
        Cell(_name(one), code=True), *(Cell(_time(one, name)) for name in counted.NAMES),
        Cell(f"{one.warps} of {limits.warps} warps, {one.processors} of {processors} processors"),
        Cell(one.largest, tone="strong"),
    )  # fmt: skip


def _time(one: Bounds, name: str) -> str:
    time = one.seconds[name]
    if time is not None:
        return units.time(time) if time else units.NOTHING
    if name == counted.L2:
        return f"{NOT_PUBLISHED} ({units.decimal(one.work.l2_bytes)}B)"
    return NOT_PUBLISHED


def _name(one: Bounds) -> str:
    return one.kernel.rpartition(".")[2]


def _size(shape: Shape) -> str:
    return f"B={shape.batch:,}, D={shape.dim}, C={shape.classes:,}, {DTYPE}"


def _predictions(loss: Loss) -> Iterator[tuple[str, ...]]:
    for variant in _of_family(loss, "rows"):
        shape = sized(variant, STREAM)
        cost = variant.cost(shape, counted.ITEMSIZE[STREAM_DTYPE])
        for name, moved in (("forward", cost.forward_bytes), ("backward", cost.backward_bytes)):
            seconds = stream_times.predicted_s(moved)
            if seconds is not None:
                yield (variant.name, str(shape), name, f"{units.decimal(moved)}B",
                       units.time(seconds))  # fmt: skip
