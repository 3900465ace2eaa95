"""The figures of agreement (a matrix) and of training (curves, final metrics)."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from . import document, drawing, plot
from .plot import Axis, Field, Panel, Plot, Rule, Series
from .style import BAD, SOFT, Styles, short

# Text on dark fields. Not quite white: what is white, a page replaces by its own ground.
WHITE, LIGHT, DARK = "#ffffff", "#fefefe", "#222222"
# Multiples of eager's error, up to: (limit, its words, field, text). One hue that darkens step by
# step, so that it reads in grey and to the colour-blind, and is not taken for the red of failure.
SHADES = (
    (1.0, "up to 1× eager's error", "#e6eff6", DARK),
    (2.0, "2×", "#c3d9eb", DARK),
    (10.0, "10×", "#94bbdd", DARK),
    (100.0, "100×", "#6298c9", DARK),
    (float("inf"), "more", "#1f4e82", LIGHT),
)


@dataclass(frozen=True)
class Square:
    """One field of the matrix. ``level``: the multiple of eager's error that sets its colour."""

    text: str
    state: str  # passed, failed, not_run, absent
    level: float | None = None
    interpreted: bool = False


def matrix(
    name: str,
    title: str,
    caption: str,
    rows: Sequence[str],
    columns: Sequence[tuple[str, str]],
    squares: Mapping[tuple[int, int], Square],
    data: document.Table,
) -> document.Figure:
    """``columns`` are (contender, dtype); colour and text both say how wrong, ✗ that it failed."""
    dtypes = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
    x = Axis(limits=(-0.5, len(columns) - 0.5), ticks=range(len(columns)),
             names=[dtypes.get(dtype, dtype) for _, dtype in columns])  # fmt: skip
    y = replace(plot.rows(rows), limits=(len(rows) - 0.5, -0.5))
    headings, edges = _headings([contender for contender, _ in columns])
    panel = Panel(
        x, y, rules=[Rule("x", at, colour=SOFT, width=0.8) for at in edges], headings=headings,
        fields=[_field(row, column, square) for (row, column), square in squares.items()],
    )  # fmt: skip
    # What each colour and border stands for, of those that the matrix may have beside eager's.
    key = [Field(0, 0, said, field) for _, said, field, _ in SHADES]
    key.append(Field(0, 0, "✗ failed", BAD))
    if any(square.interpreted for square in squares.values()):
        key.append(Field(0, 0, "interpreter", WHITE, framed=True))
    return drawing.draw(Plot(
        name, title, caption, _matrix_alt(title, rows, columns, squares), data, [panel],
        max(6.6, 2.0 + 0.62 * len(columns)), 1.6 + 0.235 * len(rows), key=key,
    ))  # fmt: skip


def _field(row: int, column: int, square: Square) -> Field:
    colour, ink = _shade(square)
    framed = square.interpreted and square.state == "passed"
    return Field(column, row, square.text, colour, ink, square.state == "failed", framed)


def _headings(contenders: Sequence[str]) -> tuple[list[tuple[float, str]], list[float]]:
    """Each contender's name over the middle of its columns, and where its columns begin."""
    headings, edges = [], []
    for contender in dict.fromkeys(contenders):
        places = [i for i, name in enumerate(contenders) if name == contender]
        text = "\n".join(textwrap.wrap(short(contender), 11 * len(places), max_lines=3))
        headings.append(((places[0] + places[-1]) / 2, text))
        if places[0]:
            edges.append(places[0] - 0.5)
    return headings, edges


def _shade(square: Square) -> tuple[str, str]:
    """Colours of the field and of its text: by the multiple as the field says it, or red."""
    if square.state == "failed":
        return BAD, LIGHT
    if square.state != "passed":
        return WHITE, SOFT
    level = float(f"{square.level or 0:.2g}")
    return next((field, ink) for limit, _, field, ink in SHADES if level <= limit)


def _matrix_alt(
    title: str,
    rows: Sequence[str],
    columns: Sequence[tuple[str, str]],
    squares: Mapping[tuple[int, int], Square],
) -> str:
    states = [square.state for square in squares.values()]
    failed = [
        f"{rows[row]} {' '.join(columns[column])}"
        for (row, column), square in squares.items()
        if square.state == "failed"
    ]
    text = (
        f"Matrix of {len(rows)} variants by {len(columns)} contenders and dtypes ({title}): "
        f"{states.count('passed')} passed, {len(failed)} failed, {states.count('not_run')} not run."
    )
    return f"{text} Failed: {', '.join(failed)}." if failed else text


@dataclass(frozen=True)
class Curve:
    """One network: a value for each epoch, of one metric."""

    group: str
    contender: str
    epochs: tuple[float, ...]
    values: tuple[float, ...]


def curves(
    name: str,
    title: str,
    by_metric: Mapping[str, Sequence[Curve]],
    styles: Styles,
    data: document.Table,
) -> document.Figure:
    """Metrics by epoch: a row a metric, a column a loss, so that colour stays the contender's."""
    groups = list(dict.fromkeys(c.group for found in by_metric.values() for c in found))
    panels = [
        Panel(
            Axis("epoch", "epoch", ticks=4, whole=True),
            # Values of different losses share no scale.
            Axis(metric.replace("_", " "), "" if "loss" in metric else metric),
            [_curve(one, styles) for one in found if one.group == group],
            short(group).replace("/", "\n", 1) if metric == next(iter(by_metric)) else "",
        )
        for metric, found in by_metric.items()
        for group in groups
    ]
    ends = [
        f"{c.group} {c.contender} ends at {metric} {c.values[-1]:.3g}"
        for metric, found in by_metric.items()
        for c in found
    ]
    caption = (
        "One line a network. Panels of a quality share an axis; values of different losses can't."
    )
    return drawing.draw(Plot(
        name, title, caption, f"Training curves by epoch. {'; '.join(ends)}.", data, panels,
        max(4.0, 1.95 * len(groups) + 0.5), 1.8 * len(by_metric) + 0.5, len(groups), "above",
    ))  # fmt: skip


def _curve(one: Curve, styles: Styles) -> Series:
    return Series(
        one.epochs, one.values, styles[one.contender], short(one.contender, 28), one.contender,
        size=3, width=1.1, marks=max(1, len(one.values) // 8),
    )  # fmt: skip


def finals(
    name: str,
    title: str,
    metrics: Sequence[str],
    rows: Sequence[tuple[str, str, Sequence[Sequence[float]]]],
    styles: Styles,
    data: document.Table,
) -> document.Figure:
    """Metrics at the end: a panel a metric, a row a network, a dot a seed. Rows: label,
    contender, and for each metric its values."""
    y = plot.rows([label for label, _, _ in rows])
    panels = [
        Panel(Axis(f"{metric.replace('_', ' ')} (1 is perfect)", ticks=4), y, [
            Series(found[column], [row] * len(found[column]), styles[contender], join="", size=5.5)
            for row, (_, contender, found) in enumerate(rows)
        ])
        for column, metric in enumerate(metrics)
    ]  # fmt: skip
    parts = [
        f"{label} {metric} {value:.3g}"
        for column, metric in enumerate(metrics)
        for label, _, values in rows
        for value in values[column]
    ]
    return drawing.draw(Plot(
        name, title, "One dot a seed. Scales do not begin at 0.",
        f"Dot plots at the end of training. {'; '.join(parts)}.", data, panels,
        1.2 + 2.6 * len(metrics), 0.75 + 0.24 * len(rows),
    ))  # fmt: skip
