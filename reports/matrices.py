"""The figures of agreement (a matrix) and of training (curves, final metrics)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import ticker
from matplotlib.patches import Patch, Rectangle

from . import document, picking, style
from .style import BAD, Styles, short

# Text on dark fields. Not quite white: what is white, a page replaces by its own ground.
LIGHT, DARK = "#fefefe", "#222222"
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
    width = max(6.6, 2.0 + 0.62 * len(columns))
    with style.drawing():
        drawn = style.figure(width, 1.6 + 0.235 * len(rows))
        axis = drawn.subplots()
        axis.grid(False)
        for (row, column), square in squares.items():
            _square(axis, row, column, square)
        _headings(axis, rows, columns)
        _key(drawn, squares.values())
        alt = _matrix_alt(title, rows, columns, squares)
        svg = style.to_svg(drawn, name, title, alt)
    return document.Figure(name, title, caption, alt, svg, width, data)


def _shade(square: Square) -> tuple[str, str]:
    """Colours of the field and of its text: by the multiple as the field says it, or red."""
    if square.state == "failed":
        return BAD, LIGHT
    if square.state != "passed":
        return "#ffffff", "#555555"
    level = float(f"{square.level or 0:.2g}")
    return next((field, ink) for limit, _, field, ink in SHADES if level <= limit)


def _border(interpreted: bool) -> dict[str, Any]:
    if not interpreted:
        return {"edgecolor": "#bbbbbb", "linewidth": 0.5}
    return {"edgecolor": "#333333", "linewidth": 1.2, "linestyle": (0, (1.8, 1.2))}


def _square(axis: Any, row: int, column: int, square: Square) -> None:
    field, ink = _shade(square)
    box = Rectangle((column - 0.46, row - 0.42), 0.92, 0.84, facecolor=field,
                    **_border(square.interpreted and square.state == "passed"))  # fmt: skip
    axis.add_patch(box)
    axis.text(
        column, row, short(square.text), ha="center", va="center", fontsize=7, color=ink,
        fontweight="bold" if square.state == "failed" else "normal",
    )  # fmt: skip


def _key(drawn: Any, squares: Iterable[Square]) -> None:
    """What each colour and border stands for, of those that the matrix may have beside eager's."""
    handles = [Patch(facecolor=field, label=said, **_border(False))
               for _, said, field, _ in SHADES]  # fmt: skip
    handles.append(Patch(facecolor=BAD, label="✗ failed", **_border(False)))
    if any(square.interpreted for square in squares):
        handles.append(Patch(facecolor="#ffffff", label="interpreter", **_border(True)))
    drawn.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7,
        handlelength=1.5, handleheight=1.1, handletextpad=0.4, columnspacing=1.1,
    )  # fmt: skip


def _headings(axis: Any, rows: Sequence[str], columns: Sequence[tuple[str, str]]) -> None:
    dtypes = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
    axis.set_xlim(-0.5, len(columns) - 0.5)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_yticks(range(len(rows)), [short(row) for row in rows])
    axis.set_xticks(range(len(columns)), [short(dtypes.get(d, d)) for _, d in columns])
    axis.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    for side in axis.spines.values():
        side.set_visible(False)
    contenders = list(dict.fromkeys(contender for contender, _ in columns))
    for contender in contenders:
        places = [i for i, (name, _) in enumerate(columns) if name == contender]
        heading = "\n".join(textwrap.wrap(short(contender), 11 * len(places), max_lines=3))
        # In points above the axes: in rows, which are tall where there are few, it would leave the
        # figure.
        axis.annotate(
            heading, ((places[0] + places[-1]) / 2, 1), (0, 14), ("data", "axes fraction"),
            "offset points", ha="center", va="bottom", fontsize=8, fontweight="bold",
        )  # fmt: skip
        if places[0]:
            axis.axvline(places[0] - 0.5, color="#555555", linewidth=0.8)


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
    metrics = list(by_metric)
    width = max(4.0, 1.95 * len(groups) + 0.5)
    with style.drawing():
        drawn = style.figure(width, 1.8 * len(metrics) + 0.5)
        axes = drawn.subplots(len(metrics), len(groups), sharex=True, squeeze=False)
        for row, metric in enumerate(metrics):
            if "loss" not in metric:  # values of different losses share no scale
                for axis in axes[row][1:]:
                    axis.sharey(axes[row][0])
            for column, group in enumerate(groups):
                axis = axes[row][column]
                for curve in by_metric[metric]:
                    if curve.group == group:
                        _curve(axis, curve, styles)
                if row == 0:
                    axis.set_title(short(group).replace("/", "\n", 1), loc="left")
                if row == len(metrics) - 1:
                    axis.set_xlabel("epoch")
                axis.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
            axes[row][0].set_ylabel(short(metric.replace("_", " ")))
        handles = {
            text: handle
            for axis in drawn.axes
            for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        drawn.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=5)
        ends = [
            f"{c.group} {c.contender} ends at {metric} {c.values[-1]:.3g}"
            for metric, found in by_metric.items()
            for c in found
        ]
        alt = f"Training curves by epoch. {'; '.join(ends)}."
        svg = style.to_svg(drawn, name, title, alt)
    caption = (
        "One line a network. Panels of a quality share an axis; values of different losses can't."
    )
    return document.Figure(name, title, caption, alt, svg, width, data)


def _curve(axis: Any, curve: Curve, styles: Styles) -> None:
    own = styles[curve.contender]
    drawn = axis.plot(
        curve.epochs, curve.values, color=own.colour, marker=own.marker, linestyle=own.line,
        markersize=3, linewidth=1.1, label=short(curve.contender, 28),
        markevery=max(1, len(curve.values) // 8),
    )  # fmt: skip
    picking.series(drawn, curve.contender)


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
    width = 1.2 + 2.6 * len(metrics)
    parts = []
    with style.drawing():
        drawn = style.figure(width, 0.75 + 0.24 * len(rows))
        axes = drawn.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for column, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
            for row, (label, contender, values) in enumerate(rows):
                own = styles[contender]
                axis.plot(
                    values[column], [row] * len(values[column]), marker=own.marker,
                    color=own.colour, linestyle="none", markersize=5.5,
                )  # fmt: skip
                parts += [f"{label} {metric} {value:.3g}" for value in values[column]]
            axis.xaxis.set_major_locator(ticker.MaxNLocator(4))
            axis.margins(x=0.12)
            axis.set_xlabel(short(metric.replace("_", " ")) + " (1 is perfect)")
        axes[0].set_yticks(range(len(rows)), [short(label) for label, _, _ in rows])
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        alt = f"Dot plots at the end of training. {'; '.join(parts)}."
        svg = style.to_svg(drawn, name, title, alt)
    caption = "One dot a seed. Scales do not begin at 0."
    return document.Figure(name, title, caption, alt, svg, width, data)
