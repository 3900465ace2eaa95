"""Draws a `plot.Plot`: matplotlib is set and called here and nowhere else.

Its settings are ours whatever the user's matplotlibrc says, and bytes repeat.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib import ticker
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from . import clouds, document, fields, picking, svg
from .plot import Axis, Panel, Plot, Rule, Series, legend_columns
from .style import DASHED, PALE, SOFT, short

# Nothing here goes through pyplot: no window, no state left behind.
RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "marginbench",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "text.parse_math": False,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "lines.solid_capstyle": "butt",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
_LEGENDS = {"above": "outside upper right", "below": "outside lower center",
            "right": "outside right upper"}  # fmt: skip
_MOST_ABOVE = 6
# Intervals of points that nothing joins, one a row, are thicker than those along a line.
_BAR, _ROW_BAR = 0.8, 1.6
_FAINT = 0.12
# By label: what stands for it, and whose it is.
Entries = dict[str, tuple[Any, str | None]]


def draw(plot: Plot) -> document.Figure:
    with _settings():
        drawn = canvas(plot.width, plot.height)
        text = svg.finished(_written(_filled(drawn, plot)), plot.name, plot.title, plot.alt)
    return document.Figure(
        plot.name, plot.title, plot.caption, plot.alt, text, plot.width, plot.data,
        plot.cases, plot.metrics,
    )  # fmt: skip


@contextmanager
def _settings() -> Iterator[None]:
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)  # type: ignore[arg-type]
        # Characters that DejaVu lacks are drawn by the reader's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def canvas(width: float, height: float) -> Figure:
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(made)
    return made


def _filled(drawn: Figure, plot: Plot) -> Figure:
    count = len(plot.panels)
    columns = plot.columns or max(1, count)
    rows = max(1, math.ceil(count / columns))
    axes = list(drawn.subplots(rows, columns, squeeze=False).flat)
    picked = any(one.of is not None for panel in plot.panels for one in panel.series)
    entries: Entries = {}
    pairs = list(zip(axes, plot.panels, strict=False))
    _share(pairs)
    for index, (axis, panel) in enumerate(pairs):
        found = _panel(axis, panel)
        if panel.legend:
            _keys(axis, found, loc=panel.legend, handlelength=2.6, borderaxespad=0.1,
                  labelspacing=0.25)  # fmt: skip
        else:
            entries |= {label: one for label, one in found.items() if label not in entries}
        left, below = index - index % columns, index + (count - 1 - index) // columns * columns
        others = (None if at == index else plot.panels[at] for at in (left, below))
        _label(axis, panel, *others)
    for axis, panel in pairs:
        # After everything that moves an end of a shared axis.
        for along, spec in ((axis.xaxis, panel.x), (axis.yaxis, panel.y)):
            _limits(axis, along.axis_name, spec)
            _ticks(along, spec)
        for rule in panel.rules:
            _rule(axis, rule, picked)
    for axis in axes[count:]:
        axis.set_axis_off()
    _legend(drawn, plot, entries)
    clouds.draw(drawn, pairs)
    return drawn


def _share(pairs: Sequence[tuple[Any, Panel]]) -> None:
    first: dict[tuple[str, str], Any] = {}
    for axis, panel in pairs:
        for letter, spec in (("x", panel.x), ("y", panel.y)):
            if spec.scale:
                other = first.setdefault((letter, spec.scale), axis)
                if other is not axis:
                    getattr(axis, f"share{letter}")(other)
            if spec.log:
                getattr(axis, f"set_{letter}scale")("log")


def _panel(axis: Any, panel: Panel) -> Entries:
    """What of it belongs in a legend, and whose that is."""
    found: Entries = {}
    for one in panel.series:
        handle = _series(axis, one)
        if one.label:
            found.setdefault(short(one.label, 44), (handle, one.of))
    for cloud in panel.clouds:
        axis.update_datalim(list(zip(cloud.x, cloud.y, strict=True)))
        if cloud.label and cloud.place is not None:
            found.setdefault(short(cloud.label, 44), (clouds.proxy(cloud.place), None))
    axis.autoscale_view()
    if panel.fields:
        fields.draw(axis, panel)
    if panel.square:
        axis.set_box_aspect(1)
    return found


def _limits(axis: Any, letter: str, spec: Axis) -> None:
    ends = spec.limits
    if spec.share and not spec.log:
        low, high = getattr(axis, f"get_{letter}lim")()
        ends = max(low, -0.02), min(high, 1.02)
    if ends != (None, None):
        getattr(axis, f"set_{letter}lim")(*ends)


def _label(axis: Any, panel: Panel, left: Panel | None, below: Panel | None) -> None:
    """Labels stand at the outer panels, and ticks' where the outer panel has the same axis."""
    if panel.title:
        axis.set_title("\n".join(short(line) for line in panel.title.split("\n")), loc="left")
    axis.set_xlabel("" if below else short(panel.x.label))
    axis.set_ylabel("" if left else short(panel.y.label, 44))
    if below and panel.x.scale and panel.x.scale == below.x.scale:
        axis.tick_params(labelbottom=False)
    if left and panel.y.scale and panel.y.scale == left.y.scale:
        axis.tick_params(labelleft=False)
    if panel.y.names and not panel.fields:
        axis.grid(axis="y", linestyle=(0, (1, 3)))


def _series(axis: Any, one: Series) -> Any:
    own = one.style
    face = {"markerfacecolor": "white"} if one.hollow else {}
    if one.join == "bins":
        line = axis.stairs(one.y, one.x, color=own.colour, linestyle=own.line, linewidth=one.width)
        if not one.hollow:
            axis.stairs(one.y, one.x, color=own.colour, fill=True, alpha=_FAINT)
        return line
    bars = list(zip(one.low, one.high, strict=True))
    ends = {}
    if one.spread != "band" and any(end is not None for bar in bars for end in bar):
        middles = one.x if one.spread == "x" else one.y
        both = list(zip(middles, bars, strict=True))
        ends[f"{one.spread}err"] = [
            [0.0 if low is None else max(0.0, middle - low) for middle, (low, _) in both],
            [0.0 if high is None else max(0.0, high - middle) for middle, (_, high) in both],
        ]
    made = axis.errorbar(
        one.x, one.y, **ends, **face, color=own.colour, marker=own.marker,
        linestyle=own.line if one.join else "none", linewidth=one.width, markersize=one.size,
        drawstyle="steps-post" if one.join == "steps" else "default",
        markevery=one.marks if one.marks != 1 else None,
        elinewidth=_ROW_BAR if one.spread == "x" else _BAR,
    )  # fmt: skip
    drawn = [made]
    if one.spread == "band" and bars and not any(None in bar for bar in bars):
        low, high = zip(*bars, strict=True)
        # Not by fill_between, whose outline the page's script can't move to a linear axis.
        drawn += axis.fill([*one.x, *one.x[::-1]], [*low, *high[::-1]], color=own.colour,
                           alpha=_FAINT, linewidth=0)  # fmt: skip
    if one.of is not None:
        picking.series(drawn, one.of)
    return made[0]


def _rule(axis: Any, rule: Rule, picked: bool) -> None:
    letter = rule.axis
    if rule.ground:
        ends = getattr(axis, f"get_{letter}lim")()
        span = axis.axvspan if letter == "x" else axis.axhspan
        both = zip((rule.at, rule.to), ends, strict=True)
        low, high = (end if at is None else at for at, end in both)
        drawn = span(low, high, color=rule.colour, alpha=0.4, linewidth=0, zorder=0)
    else:
        line = axis.axvline if letter == "x" else axis.axhline
        drawn = line(rule.at, color=rule.colour, linewidth=rule.width,
                     linestyle=DASHED if rule.dashed else "-")  # fmt: skip
    if picked:
        picking.series(drawn, "")


def _ticks(axis: Any, spec: Axis) -> None:
    """Round figures on a linear axis; on a logarithmic one powers of ten, and what lies between
    them where there is room."""
    axis.set_minor_locator(ticker.NullLocator())
    if spec.names:
        slant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if spec.slanted else {}
        axis.set_ticks(spec.ticks, [short(name, 70) for name in spec.names], **slant)
        return
    low, high = axis.get_view_interval()
    if not isinstance(spec.ticks, int):
        axis.set_major_locator(ticker.FixedLocator(list(spec.ticks)))
    elif spec.log and (high > 4 * low or spec.base != 10):
        between = spec.base == 10 and 3 * math.log10(high / low) <= spec.ticks
        subs = (1.0, 2.0, 5.0) if between else (1.0,)
        axis.set_major_locator(ticker.LogLocator(spec.base, subs, numticks=spec.ticks + 1))
    else:
        steps = {} if spec.whole else {"steps": [1, 2, 5, 10]}
        axis.set_major_locator(ticker.MaxNLocator(spec.ticks, integer=spec.whole, **steps))
    show = spec.show or ("{:g}".format if spec.log else None)
    if show:
        axis.set_major_formatter(lambda value, _: show(value))


def _legend(drawn: Figure, plot: Plot, entries: Entries) -> None:
    if plot.key:
        fields.legend(drawn, plot.key)
    if plot.legend and entries:
        most = {"right": 1, "above": _MOST_ABOVE}.get(plot.legend, 4)
        _keys(drawn, entries, loc=_LEGENDS[plot.legend],
              ncols=legend_columns(list(entries), plot.width, most))  # fmt: skip
    for text, place in zip(plot.labels, (drawn.supxlabel, drawn.supylabel), strict=True):
        if text:
            place(text, fontsize="medium")


def _keys(where: Any, entries: Entries, **placed: Any) -> None:
    made = where.legend([handle for handle, _ in entries.values()], list(entries), **placed)
    picking.legend(made, [of for _, of in entries.values()])


def _written(drawn: Figure) -> str:
    # Laid out here once: saving would otherwise draw the figure twice to do it.
    engine = drawn.get_layout_engine()
    if engine is not None:
        engine.execute(drawn)
        drawn.set_layout_engine(None)
    picking.axes(drawn)
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
