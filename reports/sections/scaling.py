"""2 and 3. Speed and memory against batch, dimension and number of classes, with the exponents."""

from __future__ import annotations

from collections.abc import Sequence

from .. import figures, units
from ..document import Block, Cell, Details, Figure, Section, Table, Text, table
from ..reading import BASE
from ..rows import Rows
from ..scaling import AXES, SYMBOL, WORDS, Panel, panels
from ..statistics import Growth
from .context import Context, machine_name, mark, slug, unique
from .place import Place

PANELS_PER_FIGURE = 9
FAMILIES = {
    "head": "losses over class weights",
    "batch": "losses and rules over a labelled batch",
    "rows": "losses over independent rows",
}
_GROWTH = (
    "The exponent is the least-squares slope on logarithmic axes; its interval resamples the "
    "rounds of each size, so it holds for these sizes only; a size with fewer than five rounds "
    "gives none. Where the steps between neighbouring sizes differ widely, a single power does "
    "not describe the growth (fixed costs dominate small sizes, large ones outgrow a cache)."
)


def speed(context: Context) -> Section:
    blocks = _blocks(context, memory=False)
    if not blocks:
        blocks = [Text("No contender was timed at two sizes or more: there is no growth to show.")]
    else:
        blocks.insert(0, Text(_GROWTH))
    return Section("speed", "Speed against batch and classes", blocks)


def memory(context: Context) -> Section:
    blocks = _blocks(context, memory=True)
    if not blocks:
        blocks = [Text("Memory was not measured at two sizes or more: no growth to show.")]
    blocks.insert(0, Text(_MEMORY))
    exhausted = _exhausted(context)
    if exhausted.rows:
        blocks.append(exhausted)
    peaks = _peaks(context)
    if peaks.rows:
        blocks.append(Details(f"Every peak ({len(peaks.rows)} rows)", [peaks]))
    return Section("memory", "Memory", blocks)


_MEMORY = (
    "Exact peak of live bytes beyond the inputs over forward and backward, in binary units "
    "(1 MiB = 1,048,576 bytes): the allocator's on a GPU, counted tensor by tensor on a CPU. "
    "Where it cannot be measured it is missing, never 0."
)


def _blocks(context: Context, memory: bool) -> list[Block]:
    """For each axis: the fits, then the figures."""
    blocks: list[Block] = []
    for axis in AXES:
        found = Rows(panels(context.records, axis, memory))
        if not found:
            continue
        blocks.append(Text(f"Against {WORDS[axis]} ({SYMBOL[axis]})", kind="heading"))
        blocks.append(_fits(context, found, memory))
        blocks.append(Details("Steps between neighbouring sizes", [_steps(found, memory)]))
        blocks += _figures(context, found, memory)
    return blocks


def _figures(context: Context, found: Rows[Panel], memory: bool) -> list[Figure]:
    """One for each family of losses, whose sizes are the same, so that losses can be compared."""
    kind, what = ("memory", "Peak memory") if memory else ("speed", "Time")

    def title(panel: Panel) -> str:
        parts = [FAMILIES.get(panel.family, panel.family), panel.dtype, panel.device]
        parts += [panel.data] * (panel.data != "drawn")
        parts += [machine_name(panel.machine)] * context.several_machines
        return ", ".join(parts)

    pages = [
        (slug(kind, axis, family), titled, group[start : start + PANELS_PER_FIGURE])
        for (axis, family, titled), group in found.by("axis", "family", title).items()
        for start in range(0, len(group), PANELS_PER_FIGURE)
    ]
    names = unique([name for name, _, _ in pages])
    return [
        figures.scaling(
            name, f"{what} against {WORDS[part[0].axis]}: {titled}", part, context.styles
        )
        for name, (_, titled, part) in zip(names, pages, strict=True)
    ]


def _fits(context: Context, found: Rows[Panel], memory: bool) -> Table:
    """The exponents: a row a variant, a column a contender."""
    axis = found[0].axis
    contenders = [
        name
        for name in context.styles.order
        if any(line.contender == name and line.growth for panel in found for line in panel.lines)
    ]
    several = len(found.each("dtype")) > 1
    rows = []
    for panel in found:
        by_name = {line.contender: line.growth for line in panel.lines}
        cells = [_exponent(by_name.get(name)) for name in contenders]
        rows.append((*_named(context, panel, several), _sizes(panel.sizes), *cells))
    columns = ("variant", *(("dtype",) if several else ()), "fixed", "sizes", *contenders)
    what = "Memory" if memory else "Time"
    interval = "" if memory else ", with its 95% interval"
    caption = (
        f"{what} grows as a power of {WORDS[axis]}: {SYMBOL[axis]} to the exponent shown{interval}"
    )
    return table(columns, rows, caption)


def _named(context: Context, panel: Panel, dtype: bool) -> tuple[str, ...]:
    fixed = panel.fixed
    if panel.data != "drawn":
        fixed += f", {panel.data}"
    if context.several_machines:
        fixed += f", {machine_name(panel.machine)}"
    return (panel.name, panel.dtype, fixed) if dtype else (panel.name, fixed)


def _exponent(growth: Growth | None) -> Cell:
    if growth is None:
        return Cell(units.NOTHING, tone="quiet")
    exponent = growth.exponent
    text = f"{exponent.estimate:.2f}"
    if exponent.low is not None and exponent.high is not None:
        text += f" [{exponent.low:.2f}, {exponent.high:.2f}]"
    return Cell(text)


def _sizes(sizes: Sequence[float]) -> str:
    return f"{units.count(sizes[0])} to {units.count(sizes[-1])} ({len(sizes)})"


def _steps(found: Rows[Panel], memory: bool) -> Table:
    rows = [
        (panel.name, panel.dtype, panel.fixed, mark(line.contender),
         _sizes(line.growth.sizes), f"{line.growth.exponent.estimate:.2f}",
         f"{line.growth.local[0]:.2f}", f"{line.growth.local[1]:.2f}",
         units.NOTHING if memory else str(line.growth.exponent.count))
        for panel in found
        for line in panel.lines
        if line.growth is not None
    ]  # fmt: skip
    columns = ("variant", "dtype", "fixed", "contender", "sizes", "fitted", "smallest step",
               "largest step", "fewest rounds")  # fmt: skip
    return table(columns, rows, numeric=columns[5:])


def _exhausted(context: Context) -> Table:
    """Out of memory is a result; beside it, the largest size of the same kind that did fit."""
    rows = []
    exhausted = context.records.results.where(lambda row: "out of memory" in row.reason.lower(),
                                              status="not_run")  # fmt: skip
    for measured, result in exhausted:
        case, contender = measured.case, result.contender
        fits = [
            other
            for other in context.records.cases.where(
                loss=case.loss, variant=case.variant, dtype=case.dtype, machine=measured.machine
            )
            if other.figure(contender, "peak_bytes")
        ]
        largest = max(fits, key=lambda m: m.case.batch * m.case.classes, default=None)
        rows.append(
            (context.case_cell(measured, loss=True), mark(contender), result.metric,
             largest.size if largest else "none")
        )  # fmt: skip
    columns = ("out of memory", "contender", "metric", "largest case that fits")
    return table(columns, list(dict.fromkeys(rows)), "Did not fit")


def _peaks(context: Context) -> Table:
    rows = []
    for measured in context.records.cases:
        base = measured.value(BASE, "peak_bytes")
        for contender in measured.contenders():
            peak = measured.value(contender, "peak_bytes")
            if peak is None:
                continue
            share = units.NOTHING
            if base and contender != BASE:
                share = f"{units.digits3(peak / base)}×"
            rows.append(
                (context.case_cell(measured, loss=True), mark(contender), units.size(peak),
                 Cell(f"{peak:,.0f}", record=measured.case.id), share,
                 units.size(measured.value(contender, "peak_reserved_bytes")))
            )  # fmt: skip
    columns = ("case", "contender", "peak", "bytes", "of eager's", "reserved by the allocator")
    return table(columns, rows, numeric=columns[2:])


PLACES = (Place(20, speed, "loss", weight=8), Place(30, memory, "loss", weight=10))
