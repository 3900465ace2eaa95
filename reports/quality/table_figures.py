"""The figures of a table over all seeds: each with the mean's interval, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from .. import document, picking, style
from ..document import Cell, table
from ..style import Styles
from . import clouds, numbers
from .reading import Group
from .styles import name as short
from .styles import ticks, within

WIDTH = 9.6
# Points of a curve, and rows of the table behind it.
MOST_EPOCHS = 16
Drawn = document.Figure | None


def dots(name: str, found: Sequence[Group], metrics: Sequence[str], styles: Styles) -> Drawn:
    """A panel a metric, a row an arm: every seed hollow, the mean with its interval filled."""
    rows = [group for group in found if any(numbers.by_seed(group, m) for m in metrics)]
    if not rows or not metrics:
        return None
    parts, body = [], []
    with style.drawing():
        drawn = style.figure(WIDTH, 0.8 + 0.27 * len(rows))
        axes = drawn.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axis, metric in zip(axes, metrics, strict=True):
            for row, group in enumerate(rows):
                values = numbers.by_seed(group, metric)
                middle = numbers.over_seeds(values)
                if middle is None:
                    continue
                _dot(axis, row, list(values.values()), middle, group.label, styles)
                said = numbers.estimate(metric, middle)
                parts.append(f"{group.label} {numbers.title(metric, False)} {said}")
                body.append((Cell(group.label, mark=group.label), numbers.title(metric), said,
                             _listed(metric, values)))  # fmt: skip
            axis.set_xlabel(short(numbers.title(metric), 40))
            ticks(axis.xaxis, 5)
            axis.margins(x=0.08)
            within(axis, "x", metric)
        axes[0].set_yticks(range(len(rows)), [short(group.label) for group in rows])
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        title, alt = "Each seed, and their mean", f"Dot plots of each seed. {'; '.join(parts)}."
        svg = clouds.to_svg(drawn, name, title, alt)
    caption = ("Hollow: one seed each. Filled, with the bar: the mean and its 95% interval. Scales "
               "do not begin at 0.")  # fmt: skip
    columns = ("loss", "metric", "mean ± half of the 95% interval", "each seed")
    return document.Figure(name, title, caption, alt, svg, WIDTH, table(columns, body))


def _dot(axis: Any, row: int, values: list[float], middle: Any, label: str, styles: Styles) -> None:
    own = styles[label]
    drawn = axis.plot(values, [row - 0.17] * len(values), linestyle="none", marker=own.marker,
              color=own.colour, markerfacecolor="none", markersize=3.6,
              markeredgewidth=0.7)  # fmt: skip
    if middle.low is not None:
        drawn += axis.plot([middle.low, middle.high], [row + 0.12] * 2, color=own.colour,
                           linewidth=1.6, solid_capstyle="butt")  # fmt: skip
    drawn += axis.plot([middle.mean], [row + 0.12], linestyle="none", marker=own.marker,
                       color=own.colour, markersize=5)  # fmt: skip
    picking.series(drawn, label)


def _listed(metric: str, values: dict[int, float]) -> str:
    return ", ".join(f"s{seed}: {numbers.figure(metric, v)}" for seed, v in values.items())


def curves(name: str, found: Sequence[Group], metrics: Sequence[str], styles: Styles) -> Drawn:
    """The mean over seeds by epoch, with its interval as a band; epoch 0 is untrained."""
    drawn_rows: list[tuple[str, str, list[tuple[float, Any]]]] = []
    for metric in metrics:
        for group in found:
            points = _by_epoch(group, metric)
            if len(points) > 1:
                drawn_rows.append((metric, group.label, points))
    shown = list(dict.fromkeys(metric for metric, _, _ in drawn_rows))
    if not shown:
        return None
    with style.drawing():
        drawn = style.figure(WIDTH if len(shown) > 1 else 5.6, 3.4)
        axes = drawn.subplots(1, len(shown), squeeze=False)[0]
        for metric, label, points in drawn_rows:
            _curve(axes[shown.index(metric)], label, points, styles)
        for axis, metric in zip(axes, shown, strict=True):
            axis.set_title(numbers.title(metric, False), loc="left")
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
            ticks(axis.yaxis)
            within(axis, "y", metric)
        shown_lines = [pair for axis in axes
                       for pair in zip(*axis.get_legend_handles_labels(), strict=True)]  # fmt: skip
        handles = {text: line for line, text in shown_lines}
        made = drawn.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
        picking.legend(made, list(dict.fromkeys(label for _, label, _ in drawn_rows)))
        title = "Learning curves"
        ends = [f"{label} ends at {numbers.title(metric, False)} "
                f"{numbers.estimate(metric, points[-1][1])}"
                for metric, label, points in drawn_rows]  # fmt: skip
        alt = f"Curves by epoch, means over seeds. {'; '.join(ends)}."
        svg = clouds.to_svg(drawn, name, title, alt)
    body = [(Cell(label, mark=label), numbers.title(metric, False), f"{epoch:g}",
             numbers.estimate(metric, middle), str(middle.count))
            for metric, label, points in drawn_rows for epoch, middle in points]  # fmt: skip
    data = table(("loss", "metric", "epoch", "mean", "seeds"), body,
                 numeric=("epoch", "mean", "seeds"))  # fmt: skip
    caption = "Means over seeds; bands are 95% intervals. Epoch 0 is the untrained network."
    return document.Figure(name, title, caption, alt, svg, WIDTH, data)


def _by_epoch(group: Group, metric: str) -> list[tuple[float, Any]]:
    """Epochs that every seed has, with the interval over them."""
    by_epoch: dict[float, dict[int, float]] = {}
    for one in group.ran:
        for place, row in enumerate(one.epochs):
            number, value = row.get("epoch"), row.get(metric)
            if value is not None:
                by_epoch.setdefault(float(place if number is None else number), {})[one.seed] = (
                    value
                )
    whole = max(map(len, by_epoch.values()), default=0)
    epochs = sorted(epoch for epoch, values in by_epoch.items() if len(values) == whole)
    if len(epochs) > MOST_EPOCHS:
        at = np.linspace(0, len(epochs) - 1, MOST_EPOCHS).round().astype(int)
        epochs = [epochs[i] for i in at]
    return [(epoch, numbers.over_seeds(by_epoch[epoch])) for epoch in epochs]


def _curve(axis: Any, label: str, points: list[tuple[float, Any]], styles: Styles) -> None:
    own = styles[label]
    x, middles = [epoch for epoch, _ in points], [middle for _, middle in points]
    drawn = axis.plot(x, [m.mean for m in middles], color=own.colour, marker=own.marker,
                      markersize=3, linestyle=own.line, linewidth=1.1,
                      label=short(label))  # fmt: skip
    if all(m.low is not None for m in middles):
        drawn += [axis.fill_between(x, [m.low for m in middles], [m.high for m in middles],
                                    color=own.colour, alpha=0.12, linewidth=0)]  # fmt: skip
    picking.series(drawn, label)
