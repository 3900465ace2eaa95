"""The figures of a table over all seeds: each with the mean's interval, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from suites.interval import Interval

from .. import document, drawing
from ..document import Cell, table
from ..plot import Axis, Panel, Plot, Series, ends, rows
from ..style import Styles, short
from . import numbers
from .reading import Group

WIDTH = 9.6
# Points of a curve, and rows of the table behind it.
MOST_EPOCHS = 16
Drawn = document.Figure | None


def dots(name: str, found: Sequence[Group], metrics: Sequence[str], styles: Styles) -> Drawn:
    """A panel a metric, a row an arm: every seed hollow, the mean with its interval filled."""
    shown = [group for group in found if any(numbers.by_seed(group, m) for m in metrics)]
    if not shown or not metrics:
        return None
    parts, body, panels = [], [], []
    for metric in metrics:
        points: list[Series] = []
        for row, group in enumerate(shown):
            values = numbers.by_seed(group, metric)
            middle = numbers.over_seeds(values)
            if middle is None:
                continue
            points += _dot(row, list(values.values()), middle, group.label, styles)
            said = numbers.estimate(metric, middle)
            parts.append(f"{group.label} {numbers.title(metric, False)} {said}")
            body.append((Cell(group.label, mark=group.label), numbers.title(metric), said,
                         _listed(metric, values)))  # fmt: skip
        x = Axis(short(numbers.title(metric), 40), ticks=5, share=numbers.is_share(metric))
        panels.append(Panel(x, rows([group.label for group in shown], 34), points))
    caption = ("Hollow: one seed each. Filled, with the bar: the mean and its 95% interval. Scales "
               "do not begin at 0.")  # fmt: skip
    columns = ("loss", "metric", "mean ± half of the 95% interval", "each seed")
    return drawing.draw(Plot(
        name, "Each seed, and their mean", caption, f"Dot plots of each seed. {'; '.join(parts)}.",
        table(columns, body), panels, WIDTH, 0.8 + 0.27 * len(shown),
    ))  # fmt: skip


def _dot(
    row: int, values: list[float], middle: Interval, label: str, styles: Styles
) -> list[Series]:
    own = styles[label]
    each = Series(values, [row - 0.17] * len(values), own, of=label, join="", hollow=True, size=3.6)
    mean = Series([middle.estimate], [row + 0.12], own, of=label, join="", **ends([middle]),
                  spread="x", size=5)  # fmt: skip
    return [each, mean]


def _listed(metric: str, values: dict[int, float]) -> str:
    return ", ".join(f"s{seed}: {numbers.figure(metric, v)}" for seed, v in values.items())


def curves(name: str, found: Sequence[Group], metrics: Sequence[str], styles: Styles) -> Drawn:
    """The mean over seeds by epoch, with its interval as a band; epoch 0 is untrained."""
    drawn_rows: list[tuple[str, str, list[tuple[float, Interval]]]] = []
    for metric in metrics:
        for group in found:
            points = _by_epoch(group, metric)
            if len(points) > 1:
                drawn_rows.append((metric, group.label, points))
    shown = list(dict.fromkeys(metric for metric, _, _ in drawn_rows))
    if not shown:
        return None
    panels = [
        Panel(
            Axis("epoch", whole=True), Axis(share=numbers.is_share(metric)),
            [_curve(label, points, styles) for of, label, points in drawn_rows if of == metric],
            numbers.title(metric, False),
        )
        for metric in shown
    ]  # fmt: skip
    ends = [f"{label} ends at {numbers.title(metric, False)} "
            f"{numbers.estimate(metric, points[-1][1])}"
            for metric, label, points in drawn_rows]  # fmt: skip
    body = [(Cell(label, mark=label), numbers.title(metric, False), f"{epoch:g}",
             numbers.estimate(metric, middle), str(middle.count))
            for metric, label, points in drawn_rows for epoch, middle in points]  # fmt: skip
    data = table(("loss", "metric", "epoch", "mean", "seeds"), body,
                 numeric=("epoch", "mean", "seeds"))  # fmt: skip
    caption = "Means over seeds; bands are 95% intervals. Epoch 0 is the untrained network."
    return drawing.draw(Plot(
        name, "Learning curves", caption,
        f"Curves by epoch, means over seeds. {'; '.join(ends)}.", data, panels,
        WIDTH if len(shown) > 1 else 5.6, 3.4, legend="below",
    ))  # fmt: skip


def _by_epoch(group: Group, metric: str) -> list[tuple[float, Interval]]:
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
    middles = [(epoch, numbers.over_seeds(by_epoch[epoch])) for epoch in epochs]
    return [(epoch, middle) for epoch, middle in middles if middle is not None]


def _curve(label: str, points: list[tuple[float, Interval]], styles: Styles) -> Series:
    middles = [middle for _, middle in points]
    return Series(
        [epoch for epoch, _ in points], [m.estimate for m in middles], styles[label],
        short(label, 34), label, **ends(middles), spread="band", width=1.1, size=3,
    )  # fmt: skip
