"""The figures over sizes: time and memory on logarithmic axes; and speed against eager.

Each function gives a `document.Figure`: the SVG, what it shows in words, the table behind it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from suites.interval import Interval

from . import document, drawing, plot, units
from .comparison import Comparison
from .document import Cell
from .plot import Axis, Plot, Rule, Series, dots, ends, grid
from .scaling import SYMBOL, WORDS, Line, Panel
from .style import PALE, Styles, short

COLUMNS = 3
UNIT_WIDTH = 3.3


def scaling(name: str, title: str, panels: Sequence[Panel], styles: Styles) -> document.Figure:
    """Small multiples with shared axes: one panel a variant, one line a contender."""
    memory = panels[0].metric == "peak_bytes"
    columns, lines = grid(len(panels), COLUMNS)
    x, y = _axes(panels, memory)
    return drawing.draw(Plot(
        name, title, _scaling_caption(panels, memory), _scaling_alt(panels, memory),
        _scaling_table(panels, memory),
        [plot.Panel(x, y, [_line(panel.axis, line, styles) for line in sorted(
            panel.lines, key=lambda line: styles.order.index(line.contender))],
            f"{short(panel.name, 44)}\n{panel.fixed}", legend="upper left") for panel in panels],
        UNIT_WIDTH * columns + 0.3, 2.75 * lines + 0.1, columns,
        cases=tuple(dict.fromkeys(
            case for panel in panels for line in panel.lines for case in line.cases.values()
        )),
        metrics=tuple(dict.fromkeys(panel.metric for panel in panels)),
    ))  # fmt: skip


def _line(axis: str, line: Line, styles: Styles) -> Series:
    label = short(line.contender, 28)
    if line.growth is not None:
        label += f"  {SYMBOL[axis]}^{line.growth.exponent.estimate:.2f}"
    points = list(line.points.values())
    return Series(list(line.points), [p.estimate for p in points], styles[line.contender], label,
                  line.contender, **ends(points))  # fmt: skip


def _axes(panels: Sequence[Panel], memory: bool) -> tuple[Axis, Axis]:
    """Ticks at the sizes that were measured, and at times or bytes that read as one figure."""
    sizes = sorted({size for panel in panels for size in panel.sizes})
    while len(sizes) > 8:
        sizes = sizes[::2]
    axis, limits = panels[0].axis, _y_limits(panels, sizes)
    x = Axis(f"{WORDS[axis]} ({SYMBOL[axis]})", "x", True, ticks=sizes, show=units.count)
    if memory:
        return x, Axis("peak memory (bytes)", "y", True, limits, base=2,
                       show=lambda value: units.tick(units.size(value)))  # fmt: skip
    return x, Axis("median time (seconds)", "y", True, limits, 5,
                   show=lambda value: units.tick(units.time(value)))  # fmt: skip


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
                     str(point.count))
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
    made = [one for _, comparisons in rows for one in comparisons]
    caption = (
        "Eager's time over the contender's, round by round: median and 95% interval. Shaded, left "
        "of the line, is slower than eager. Hollow: it disagreed with the reference in that case."
    )
    # Wherever a narrow screen has scrolled to, the ground says on which side of eager it is.
    rules = [Rule("x", 1), Rule("x", None, 1, PALE, ground=True)]
    y = plot.rows([label for label, _ in rows])
    panel = plot.Panel(_ratio_axis(made), y, dots(_dots(rows), styles), rules=rules)
    return drawing.draw(Plot(
        name, title, caption, _ratio_alt(rows), _ratio_table(rows), [panel], UNIT_WIDTH * COLUMNS,
        0.95 + 0.24 * len(rows), legend="above",
        cases=tuple(dict.fromkeys(one.case for one in made)), metrics=metrics,
    ))  # fmt: skip


def _dots(
    rows: Sequence[tuple[str, Sequence[Comparison]]],
) -> Iterator[tuple[str, bool, float, float, Interval]]:
    """Contenders side by side within a row; hollow where one was wrong."""
    for row, (_, comparisons) in enumerate(rows):
        shown = [(one, one.ratio) for one in comparisons if one.ratio is not None]
        for place, (one, ratio) in enumerate(shown):
            y = row + 0.2 * (place - (len(shown) - 1) / 2)
            yield one.contender, one.wrong, ratio.estimate, y, ratio


def _ratio_axis(made: Sequence[Comparison]) -> Axis:
    found = [one.ratio for one in made if one.ratio]
    lowest = min([0.5, *((r.low or r.estimate) for r in found)])
    highest = max([2.0, *((r.high or r.estimate) for r in found)])
    return Axis("speed relative to eager (×)    ← slower · faster →", log=True,
                limits=(lowest / 1.1, highest * 1.1), ticks=10, show="{:g}×".format)  # fmt: skip


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
         str(one.time.count))
        for label, comparisons in rows
        for one in comparisons
    ]  # fmt: skip
    columns = ("case", "contender", "median time", "against eager", "rounds")
    return document.table(columns, body, numeric=("median time", "rounds"))


def _against(ratio: Interval | None) -> str:
    return units.speed(ratio)
