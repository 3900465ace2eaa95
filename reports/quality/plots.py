"""Draws a claim's figure from its data: `suites.claims.claim.Plot`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from suites.claims.claim import Line, Panel, Plot

from .. import document, style, units
from ..document import table
from ..style import Style, Styles
from . import clouds
from .styles import by_label, legend, legend_columns, name, name_places, places, ticks, within

COLUMNS = 3
_PANEL = (3.2, 2.6)
# Rows of the table behind a figure; a cloud's points are summed up instead.
MOST_ROWS = 400
# Panels whose largest values differ by more than this factor each have a vertical scale.
FLAT = 5
# Vertical axes that end at 0 and 1, though intervals of few seeds reach beyond.
_SHARES = ("MAP@R", "MAP@R, seen", "accuracy", "share", "share of the seeds")


def draw(plot: Plot, figure_name: str, styles: Styles | None = None) -> document.Figure:
    """Small multiples with shared axes, one panel each; a label has the same style in all of them,
    and a loss the one that it has on the whole page (``styles``).

    Raises ValueError where a line's lists do not fit together or there is nothing to draw.
    """
    for panel in plot.panels:
        for line in panel.lines:
            _check(plot, line)
    panels = [panel for panel in plot.panels if any(line.y for line in panel.lines)]
    if not panels:
        raise ValueError(f"plot {plot.name}: expected points to draw; it has none")
    columns = 2 if len(panels) == 4 else min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    width = max(4.6, _PANEL[0] * columns + 0.2)
    known = by_label(labels, styles)
    named = places(panels) if plot.kind == "points" else {}
    below = 0.8 if named else 0.2 * math.ceil(len(labels) / legend_columns(labels, width))
    with style.drawing():
        drawn = style.figure(width, _PANEL[1] * rows + 0.3 + below)
        shared = _one_scale(plot)
        axes = drawn.subplots(rows, columns, sharex=True, sharey=shared, squeeze=False).flat
        for index, axis in enumerate(axes):
            if index >= len(panels):
                axis.set_axis_off()
                continue
            _frame(axis, plot, panels[index], last_row=index + columns >= len(panels))
            if index % columns == 0:
                axis.set_ylabel(name(plot.y_label, 44))
            if plot.kind != "scatter":
                for line in panels[index].lines:
                    _line(axis, plot.kind, line, known[line.label])
        if plot.kind == "scatter":
            _scatter(drawn, panels, labels)
        else:
            legend(drawn, width, [name(label) for label in named.values()])
        for axis in drawn.axes:
            ticks(axis.xaxis)
            ticks(axis.yaxis)
            if named:
                name_places(axis, named)
            if plot.y_label in _SHARES:
                within(axis, "y", "")
        svg = clouds.to_svg(drawn, figure_name, plot.title, plot.alt)
    caption = plot.caption or plot.alt
    if not shared:
        caption += " Each panel has a vertical scale of its own."
    return document.Figure(figure_name, plot.title, caption, plot.alt, svg, width, _data(plot))


def _one_scale(plot: Plot) -> bool:
    """Whether one vertical scale shows something in each panel: not where a panel of another
    quantity would be flat."""
    if plot.kind == "scatter" or any("y" in panel.logarithmic for panel in plot.panels):
        return True
    highest = [max(max(map(abs, line.y)) for line in panel.lines if line.y)
               for panel in plot.panels if any(line.y for line in panel.lines)]  # fmt: skip
    return max(highest) <= FLAT * min(highest)


def _check(plot: Plot, line: Line) -> None:
    edges = plot.kind == "steps" and bool(line.y)
    fits = len(line.x) == len(line.y) + edges
    bars = len(line.low) == len(line.high) and len(line.low) in (0, len(line.y))
    if not (fits and bars):
        wanted = "one x more than y" if edges else "as many x as y"
        raise ValueError(
            f"plot {plot.name}, {line.label}: expected {wanted}, and an interval for each or none; "
            f"got {len(line.x)} x, {len(line.y)} y, {len(line.low)} low, {len(line.high)} high"
        )


def _frame(axis: Any, plot: Plot, panel: Panel, last_row: bool) -> None:
    axis.set_title(name(panel.title, 46), loc="left")
    for letter, set_scale in (("x", axis.set_xscale), ("y", axis.set_yscale)):
        if letter in panel.logarithmic:
            set_scale("log")
    if last_row:
        axis.set_xlabel(name(plot.x_label, 60))
        axis.xaxis.set_tick_params(labelbottom=True)


def _line(axis: Any, kind: str, line: Line, one: Style) -> None:
    if not line.y:
        return
    label = name(line.label)
    if kind == "steps":
        axis.stairs(
            line.y, line.x, color=one.colour, linestyle=one.line, label=label, linewidth=1.3
        )
        axis.stairs(line.y, line.x, color=one.colour, fill=True, alpha=0.12)
        return
    bars = None
    if line.low:
        below = [max(0.0, y - low) for y, low in zip(line.y, line.low, strict=True)]
        above = [max(0.0, high - y) for y, high in zip(line.y, line.high, strict=True)]
        bars = [below, above]
    joined = one.line if kind == "lines" else "none"
    axis.errorbar(
        line.x, line.y, yerr=bars, color=one.colour, marker=one.marker, linestyle=joined,
        label=label, elinewidth=0.8, capsize=1.5, markersize=4,
        markevery=max(1, len(line.y) // 12) if kind == "lines" else None,
    )  # fmt: skip


def _scatter(drawn: Any, panels: Sequence[Panel], labels: Sequence[str]) -> None:
    points = [(x, y) for panel in panels for line in panel.lines
              for x, y in zip(line.x, line.y, strict=True)]  # fmt: skip
    xs, ys = zip(*points, strict=True)
    axes = drawn.axes[: len(panels)]
    if not any(panel.logarithmic for panel in panels):
        wide, high = max(xs) - min(xs), max(ys) - min(ys)
        if wide and high and 1 / 3 <= wide / high <= 3:
            x_limits, y_limits = clouds.square(xs, ys)
            axes[0].set(xlim=x_limits, ylim=y_limits)
            for axis in axes:
                axis.set_box_aspect(1)
        else:
            axes[0].set(xlim=_around(min(xs), max(xs)), ylim=_around(min(ys), max(ys)))
    else:
        for axis in axes:
            axis.update_datalim(points)
            axis.autoscale_view()
    if 1 < len(labels) <= clouds.NAMED:
        shown = [clouds.proxy(place, name(label)) for place, label in enumerate(labels)]
        drawn.legend(handles=shown, loc="outside lower center", ncols=min(5, len(labels)))
    clouds.settle(drawn)
    for axis, panel in zip(axes, panels, strict=True):
        total = sum(len(line.x) for line in panel.lines)
        share = clouds.chosen(total, len(panels)).size / total if total else 1
        for line in panel.lines:
            if line.x:
                keep = np.linspace(0, len(line.x) - 1, max(1, round(share * len(line.x))))
                at = keep.round().astype(int)
                clouds.cloud(axis, np.asarray(line.x)[at], np.asarray(line.y)[at],
                             labels.index(line.label))  # fmt: skip


def _around(low: float, high: float) -> tuple[float, float]:
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _data(plot: Plot) -> document.Table:
    rows: list[tuple[str, ...]] = []
    lines = [(panel.title, line) for panel in plot.panels for line in panel.lines]
    if plot.kind == "scatter":
        for panel, line in lines:
            middle = [units.digits3(sum(v) / len(v)) if v else "–" for v in (line.x, line.y)]
            rows.append((panel, line.label, f"{len(line.x):,}", *middle))
        columns = ("panel", "points of", "points", f"mean {plot.x_label}", f"mean {plot.y_label}")
        return table(columns, rows, numeric=columns[2:])
    every = max(1, math.ceil(sum(len(line.y) for _, line in lines) / MOST_ROWS))
    for panel, line in lines:
        for at in range(0, len(line.y), every):
            between = units.NOTHING
            if line.low:
                between = f"[{units.digits3(line.low[at])}, {units.digits3(line.high[at])}]"
            rows.append((panel, line.label, units.digits3(line.x[at]), units.digits3(line.y[at]),
                         between))  # fmt: skip
    names = (f"{plot.x_label} (from)" if plot.kind == "steps" else plot.x_label, plot.y_label)
    columns = ("panel", "line", *_apart(names), "95% interval")
    caption = f"Every {every}th point" if every > 1 else ""
    return table(columns, rows, caption, numeric=columns[2:4])


def _apart(names: tuple[str, str]) -> tuple[str, str]:
    """Columns are found by name, so two must differ, and from ours too."""
    x, y = (f"{one} " if one in ("panel", "line", "95% interval") else one for one in names)
    return x, f"{y} (y)" if x == y else y
