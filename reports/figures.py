"""The figures over sizes: time and memory on logarithmic axes; and speed against eager.

Each function gives a `document.Figure`: the SVG, what it shows in words, the table behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import ticker

from . import document, picking, style, units
from .comparison import Comparison
from .document import Cell
from .scaling import SYMBOL, WORDS, Panel
from .statistics import Interval
from .style import Styles, short

COLUMNS = 3
UNIT_WIDTH = 3.3


def scaling(name: str, title: str, panels: Sequence[Panel], styles: Styles) -> document.Figure:
    """Small multiples with shared axes: one panel a variant, one line a contender."""
    memory = panels[0].metric == "peak_bytes"
    columns = 2 if len(panels) == 4 else min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    width = UNIT_WIDTH * columns + 0.3
    with style.drawing():
        drawn = style.figure(width, 2.75 * rows + 0.1)
        axes = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for index, axis in enumerate(axes):
            if index >= len(panels):
                axis.set_axis_off()
                continue
            _scaling_panel(axis, panels[index], styles)
            below = index + columns >= len(panels)
            if below:
                axis.set_xlabel(f"{WORDS[panels[index].axis]} ({SYMBOL[panels[index].axis]})")
                axis.xaxis.set_tick_params(labelbottom=True)
            if index % columns == 0:
                axis.set_ylabel("peak memory (bytes)" if memory else "median time (seconds)")
        _size_ticks(drawn.axes[0], panels, memory)
        alt = _scaling_alt(panels, memory)
        svg = style.to_svg(drawn, name, title, alt)
    return document.Figure(
        name=name, title=title, caption=_scaling_caption(panels, memory), alt=alt, svg=svg,
        width=width, data=_scaling_table(panels, memory),
        cases=tuple(dict.fromkeys(
            case for panel in panels for line in panel.lines for case in line.cases.values()
        )),
        metrics=tuple(dict.fromkeys(panel.metric for panel in panels)),
    )  # fmt: skip


def _scaling_panel(axis: Any, panel: Panel, styles: Styles) -> None:
    lines = sorted(panel.lines, key=lambda line: styles.order.index(line.contender))
    for line in lines:
        own = styles[line.contender]
        x, middles = list(line.points), list(line.points.values())
        y = [point.estimate for point in middles]
        low = [point.estimate - (point.low or point.estimate) for point in middles]
        high = [(point.high or point.estimate) - point.estimate for point in middles]
        label = short(line.contender, 28)
        if line.growth is not None:
            label += f"  {SYMBOL[panel.axis]}^{line.growth.exponent.estimate:.2f}"
        bars = axis.errorbar(
            x, y, yerr=[low, high], color=own.colour, marker=own.marker, linestyle=own.line,
            label=label, elinewidth=0.8, markeredgewidth=1.0,
        )  # fmt: skip
        picking.series(list(bars), line.contender)
    axis.set_title(f"{short(panel.name, 44)}\n{panel.fixed}", loc="left")
    made = axis.legend(loc="upper left", handlelength=2.6, borderaxespad=0.1, labelspacing=0.25)
    picking.legend(made, [line.contender for line in lines])


def _size_ticks(axis: Any, panels: Sequence[Panel], memory: bool) -> None:
    """Ticks at the sizes that were measured, and at times or bytes that read as one figure."""
    sizes = sorted({size for panel in panels for size in panel.sizes})
    axis.set_xscale("log")
    while len(sizes) > 8:
        sizes = sizes[::2]
    axis.xaxis.set_major_locator(ticker.FixedLocator(sizes))
    axis.xaxis.set_major_formatter(lambda value, _: units.count(value))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.set_yscale("log")
    lowest, highest = _y_limits(panels, sizes)
    axis.set_ylim(lowest, highest)
    if memory:
        axis.yaxis.set_major_locator(ticker.LogLocator(base=2, numticks=7))
        axis.yaxis.set_major_formatter(lambda value, _: units.tick(units.size(value)))
    else:
        subs = (1.0,) if highest / lowest > 50 else (1.0, 2.0, 5.0)
        axis.yaxis.set_major_locator(ticker.LogLocator(base=10, subs=subs))
        axis.yaxis.set_major_formatter(lambda value, _: units.tick(units.time(value)))
    axis.yaxis.set_minor_locator(ticker.NullLocator())


def _y_limits(panels: Sequence[Panel], sizes: Sequence[int]) -> tuple[float, float]:
    """Room above the left half's lines for the legend, which stands in the upper left corner."""
    points = [
        (size, point.estimate)
        for panel in panels
        for line in panel.lines
        for size, point in line.points.items()
    ]
    middle = math.sqrt(sizes[0] * sizes[-1])
    bottom = min(value for _, value in points) / 1.6
    left = max((value for size, value in points if size <= middle), default=bottom)
    legend = min(0.6, 0.05 + 0.085 * max(len(panel.lines) for panel in panels))
    above = bottom * (1.3 * left / bottom) ** (1 / (1 - legend))
    return bottom, max(above, 1.6 * max(value for _, value in points), bottom * 30)


def _scaling_caption(panels: Sequence[Panel], memory: bool) -> str:
    what = "Peak of live bytes beyond the inputs" if memory else _timed(panels)
    axis = panels[0].axis
    return (
        f"{what}, against {WORDS[axis]}; both axes logarithmic, axes shared. The legend gives the "
        f"fitted exponent: {SYMBOL[axis]}^2 means four times as much for twice the {WORDS[axis]}."
    )


def _timed(panels: Sequence[Panel]) -> str:
    names = {"both_time_s": "forward and backward", "forward_time_s": "forward"}
    found = list(dict.fromkeys(names.get(panel.metric, panel.metric) for panel in panels))
    return f"Median time of {' or '.join(found)} with its 95% interval"


def _scaling_alt(panels: Sequence[Panel], memory: bool) -> str:
    parts = []
    for panel in panels:
        for line in panel.lines:
            show = units.size if memory else units.time
            points = list(line.points.items())
            (first, low), (last, high) = points[0], points[-1]
            text = f"{panel.name}, {line.contender}: {show(low.estimate)} at {first:,}"
            if last != first:
                text += f" to {show(high.estimate)} at {last:,}"
            parts.append(text)
    what = "memory" if memory else "time"
    return f"Line charts of {what} against {WORDS[panels[0].axis]}. {'; '.join(parts)}."


def _scaling_table(panels: Sequence[Panel], memory: bool) -> document.Table:
    show = units.size if memory else units.time
    rows = []
    for panel in panels:
        for line in panel.lines:
            for size, point in line.points.items():
                between = units.NOTHING
                if point.low is not None and not memory:
                    between = f"{show(point.low)} to {show(point.high)}"
                rows.append(
                    (panel.name, Cell(line.contender, mark=line.contender), f"{size:,}",
                     Cell(show(point.estimate), record=line.cases.get(size, "")), between,
                     str(point.rounds))
                )  # fmt: skip
    axis = WORDS[panels[0].axis]
    columns = ("variant", "contender", axis, "median", "95% interval", "rounds")
    return document.table(columns, rows, numeric=(axis, "median", "rounds"))


def ratios(
    name: str,
    title: str,
    rows: Sequence[tuple[str, Sequence[Comparison]]],
    styles: Styles,
    metrics: tuple[str, ...] = (),
) -> document.Figure:
    """Speed against eager: one row a case, one dot with its interval a contender. ``metrics``:
    which passes were compared."""
    width = UNIT_WIDTH * COLUMNS
    with style.drawing():
        drawn = style.figure(width, 0.95 + 0.24 * len(rows))
        axis = drawn.subplots()
        _ratio_dots(axis, rows, styles)
        picking.series(axis.axvline(1, color="#000000", linewidth=1), "")
        axis.set_yticks(range(len(rows)), [short(label) for label, _ in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.grid(axis="y", linestyle=(0, (1, 3)))
        _ratio_ticks(axis, rows)
        # Wherever a narrow screen has scrolled to, the ground says on which side of eager it is.
        slower = axis.axvspan(
            axis.get_xlim()[0], 1, color="#dddddd", alpha=0.4, linewidth=0, zorder=0
        )
        picking.series(slower, "")
        axis.set_xlabel("speed relative to eager (×)    ← slower · faster →")
        handles, labels = axis.get_legend_handles_labels()
        seen = dict(zip(labels, handles, strict=True))
        legend = drawn.legend(
            seen.values(), seen.keys(), loc="outside upper right", ncols=len(seen)
        )
        picking.legend(legend, list(dict.fromkeys(c.contender for _, row in rows for c in row
                                                if c.ratio is not None)))  # fmt: skip
        alt = _ratio_alt(rows)
        svg = style.to_svg(drawn, name, title, alt)
    caption = (
        "Eager's time over the contender's, round by round: median and 95% interval. Shaded, left "
        "of the line, is slower than eager. Hollow: it disagreed with the reference in that case."
    )
    made = [one for _, comparisons in rows for one in comparisons]
    return document.Figure(
        name, title, caption, alt, svg, width, _ratio_table(rows),
        cases=tuple(dict.fromkeys(one.case for one in made)), metrics=metrics,
    )  # fmt: skip


def _ratio_dots(
    axis: Any, rows: Sequence[tuple[str, Sequence[Comparison]]], styles: Styles
) -> None:
    for row, (_, comparisons) in enumerate(rows):
        shown = [c for c in comparisons if c.ratio is not None]
        for place, one in enumerate(shown):
            assert one.ratio is not None
            own, middle = styles[one.contender], one.ratio.estimate
            y = row + 0.2 * (place - (len(shown) - 1) / 2)
            ends = (one.ratio.low or middle, one.ratio.high or middle)
            bar = axis.plot(ends, (y, y), color=own.colour, linewidth=1.6, solid_capstyle="butt")
            dot = axis.plot(
                [middle], [y], marker=own.marker, color=own.colour, linestyle="none",
                markerfacecolor="white" if one.wrong else own.colour,
                label=short(one.contender, 28),
            )  # fmt: skip
            picking.series([bar, dot], one.contender)


def _ratio_ticks(axis: Any, rows: Sequence[tuple[str, Sequence[Comparison]]]) -> None:
    found = [c.ratio for _, comparisons in rows for c in comparisons if c.ratio]
    lowest = min([0.5, *((r.low or r.estimate) for r in found)])
    highest = max([2.0, *((r.high or r.estimate) for r in found)])
    axis.set_xscale("log")
    axis.set_xlim(lowest / 1.1, highest * 1.1)
    subs = (1.0, 2.0, 5.0) if highest / lowest < 2000 else (1.0,)
    axis.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=subs))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axis.xaxis.set_minor_locator(ticker.NullLocator())


def _ratio_alt(rows: Sequence[tuple[str, Sequence[Comparison]]]) -> str:
    parts = [
        f"{label}, {one.contender}: {units.speed(one.ratio)}"
        for label, comparisons in rows
        for one in comparisons
        if one.ratio is not None
    ]
    return f"Dot plot of speed relative to eager. {'; '.join(parts)}."


def _ratio_table(rows: Sequence[tuple[str, Sequence[Comparison]]]) -> document.Table:
    body = [
        (label, Cell(one.contender, mark=one.contender),
         Cell(units.time(one.time.estimate), record=one.case), _against(one.ratio),
         str(one.time.rounds))
        for label, comparisons in rows
        for one in comparisons
    ]  # fmt: skip
    columns = ("case", "contender", "median time", "against eager", "rounds")
    return document.table(columns, body, numeric=("median time", "rounds"))


def _against(ratio: Interval | None) -> str:
    return units.speed(ratio)
