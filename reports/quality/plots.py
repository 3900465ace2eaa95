"""A claim's figure from its data, `suites.claims.claim.Plot`: in styles of the page, with axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from suites.claims.claim import Line, Panel, Plot

from .. import document, drawing, plot, units
from ..document import table
from ..plot import Axis, Cloud, Series, grid, legend_columns
from ..style import Style, Styles, short, style_at
from . import clouds

_PANEL = (3.2, 2.6)
# Rows of the table behind a figure; a cloud's points are summed up instead.
MOST_ROWS = 400
# Panels whose largest values differ by more than this factor each have a vertical scale.
FLAT = 5
# Vertical axes that end at 0 and 1, though intervals of few seeds reach beyond.
_SHARES = ("MAP@R", "MAP@R, seen", "accuracy", "share", "share of the seeds")


def draw(claimed: Plot, figure_name: str, styles: Styles | None = None) -> document.Figure:
    """Small multiples with shared axes, one panel each; a label has the same style in all of them,
    and a loss the one that it has on the whole page (``styles``).

    Raises ValueError where a line's lists do not fit together or there is nothing to draw.
    """
    for panel in claimed.panels:
        for line in panel.lines:
            _check(claimed, line)
    panels = [panel for panel in claimed.panels if any(line.y for line in panel.lines)]
    if not panels:
        raise ValueError(f"plot {claimed.name}: expected points to draw; it has none")
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    columns, rows = grid(len(panels))
    width = max(4.6, _PANEL[0] * columns + 0.2)
    named = places(panels) if claimed.kind == "points" else {}
    below = 0.8 if named else 0.2 * math.ceil(len(labels) / legend_columns(labels, width))
    shared = _one_scale(claimed)
    caption = claimed.caption or claimed.alt
    if not shared:
        caption += " Each panel has a vertical scale of its own."
    # What stands at its place is not said in the legend too, nor is a single label.
    said = [label for label in labels if label not in named.values()] if len(labels) > 1 else []
    if claimed.kind == "scatter":
        drawn = _scatter(claimed, panels, said if len(said) <= clouds.NAMED else [])
    else:
        known = by_label(labels, styles)
        drawn = [
            plot.Panel(
                _x_axis(claimed, panel, named), _y_axis(claimed, panel, shared),
                [_line(claimed, line, known[line.label], line.label in said)
                 for line in panel.lines if line.y],
                short(panel.title, 46),
            )
            for panel in panels
        ]  # fmt: skip
    return drawing.draw(plot.Plot(
        figure_name, claimed.title, caption, claimed.alt, _data(claimed), drawn, width,
        _PANEL[1] * rows + 0.3 + below, columns, "below",
    ))  # fmt: skip


def _one_scale(claimed: Plot) -> bool:
    """Whether one vertical scale shows something in each panel: not where a panel of another
    quantity would be flat."""
    if claimed.kind == "scatter" or any("y" in panel.logarithmic for panel in claimed.panels):
        return True
    highest = [max(max(map(abs, line.y)) for line in panel.lines if line.y)
               for panel in claimed.panels if any(line.y for line in panel.lines)]  # fmt: skip
    return max(highest) <= FLAT * min(highest)


def _check(claimed: Plot, line: Line) -> None:
    edges = claimed.kind == "steps" and bool(line.y)
    fits = len(line.x) == len(line.y) + edges
    bars = len(line.low) == len(line.high) and len(line.low) in (0, len(line.y))
    if not (fits and bars):
        wanted = "one x more than y" if edges else "as many x as y"
        raise ValueError(
            f"plot {claimed.name}, {line.label}: expected {wanted}, and an interval for "
            f"each or none; got {len(line.x)} x, {len(line.y)} y, {len(line.low)} low, "
            f"{len(line.high)} high"
        )


def _x_axis(claimed: Plot, panel: Panel, named: Mapping[float, str]) -> Axis:
    log = "x" in panel.logarithmic
    if not named:
        return Axis(claimed.x_label, f"x {log}", log)
    at = sorted(named)
    names = [short(named[place], 30) for place in at]
    return Axis(claimed.x_label, "x", limits=(at[0] - 0.5, at[-1] + 0.5), ticks=at, names=names,
                slanted=True)  # fmt: skip


def _y_axis(claimed: Plot, panel: Panel, shared: bool) -> Axis:
    log = "y" in panel.logarithmic
    scale = f"y {log}" if shared else ""
    return Axis(claimed.y_label, scale, log, share=claimed.y_label in _SHARES)


def _line(claimed: Plot, line: Line, own: Style, said: bool) -> Series:
    label = short(line.label, 34) if said else ""
    if claimed.kind == "steps":
        return Series(line.x, line.y, own, label, join="bins", width=1.3)
    joined = claimed.kind == "lines"
    return Series(
        line.x, line.y, own, label, join="line" if joined else "", low=line.low, high=line.high,
        size=4, marks=max(1, len(line.y) // 12) if joined else 1,
    )  # fmt: skip


def _scatter(claimed: Plot, panels: Sequence[Panel], said: Sequence[str]) -> list[plot.Panel]:
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    xs = [x for panel in panels for line in panel.lines for x in line.x]
    ys = [y for panel in panels for line in panel.lines for y in line.y]
    wide, high = max(xs) - min(xs), max(ys) - min(ys)
    square = not any(panel.logarithmic for panel in panels) and high / 3 <= wide <= 3 * high
    ends = clouds.square(xs, ys) if square and wide else [(None, None), (None, None)]
    made = []
    for panel in panels:
        x, y = _x_axis(claimed, panel, {}), _y_axis(claimed, panel, True)
        total = sum(len(line.x) for line in panel.lines)
        share = clouds.chosen(total, len(panels)).size / total if total else 1
        points = []
        for line in (line for line in panel.lines if line.x):
            keep = np.linspace(0, len(line.x) - 1, max(1, round(share * len(line.x))))
            at = keep.round().astype(int)
            label = short(line.label, 34) if line.label in said else ""
            points.append(Cloud(np.asarray(line.x)[at], np.asarray(line.y)[at],
                                labels.index(line.label), label))  # fmt: skip
        made.append(plot.Panel(
            replace(x, limits=ends[0]), replace(y, limits=ends[1]), title=short(panel.title, 46),
            clouds=points, square=square and bool(wide),
        ))  # fmt: skip
    return made


def by_label(labels: Sequence[str], styles: Styles | None) -> dict[str, Style]:
    """A loss keeps its style of the whole page; other labels get styles that no loss here has."""
    found: dict[str, Style] = {}
    for label in labels if styles else ():
        assert styles is not None
        losses = [key for key in styles.order if label in (key, key.partition("/")[0])]
        if len(losses) == 1:
            found[label] = styles[losses[0]]
    taken = {one.colour for one in found.values()}
    free = [one for one in map(style_at, range(9 * len(labels) + 9)) if one.colour not in taken]
    spare = iter(free or map(style_at, range(len(labels))))
    return {label: found.get(label) or next(spare) for label in labels}


def places(panels: Sequence[Panel]) -> dict[float, str]:
    """Names of the places on an axis that counts: the label of what stands at that place alone."""
    named: dict[float, str] = {}
    for line in (line for panel in panels for line in panel.lines if line.y):
        if len(set(line.x)) == 1 and named.setdefault(line.x[0], line.label) != line.label:
            return {}
    return named if all(float(place).is_integer() for place in named) else {}


def _data(claimed: Plot) -> document.Table:
    rows: list[tuple[str, ...]] = []
    lines = [(panel.title, line) for panel in claimed.panels for line in panel.lines]
    if claimed.kind == "scatter":
        for panel, line in lines:
            middle = [units.digits3(sum(v) / len(v)) if v else "–" for v in (line.x, line.y)]
            rows.append((panel, line.label, f"{len(line.x):,}", *middle))
        columns = (
            "panel",
            "points of",
            "points",
            f"mean {claimed.x_label}",
            f"mean {claimed.y_label}",
        )
        return table(columns, rows, numeric=columns[2:])
    every = max(1, math.ceil(sum(len(line.y) for _, line in lines) / MOST_ROWS))
    for panel, line in lines:
        for at in range(0, len(line.y), every):
            between = units.NOTHING
            if line.low:
                between = f"[{units.digits3(line.low[at])}, {units.digits3(line.high[at])}]"
            rows.append((panel, line.label, units.digits3(line.x[at]), units.digits3(line.y[at]),
                         between))  # fmt: skip
    names = (
        f"{claimed.x_label} (from)" if claimed.kind == "steps" else claimed.x_label,
        claimed.y_label,
    )
    columns = ("panel", "line", *_apart(names), "95% interval")
    caption = f"Every {every}th point" if every > 1 else ""
    return table(columns, rows, caption, numeric=columns[2:4])


def _apart(names: tuple[str, str]) -> tuple[str, str]:
    """Columns are found by name, so two must differ, and from ours too."""
    x, y = (f"{one} " if one in ("panel", "line", "95% interval") else one for one in names)
    return x, f"{y} (y)" if x == y else y
