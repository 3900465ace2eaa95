"""Ratios around 1 with their intervals, what changed most at the top."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib import ticker

from .. import document, picking, style
from ..style import Styles, short
from .ratios import Verdict
from .runs import Key

MOST = 40
WIDTH = 9.9
_FILL = {"SLOWER": "full", "FASTER": "full"}


def forest(
    name: str,
    title: str,
    rows: Sequence[tuple[Key, Verdict]],
    styles: Styles,
    data: document.Table,
    log_shift: float | None = None,
) -> document.Figure:
    """One row a figure: the candidate's time over the base's; filled if significant,
    and a line at what all moved by together."""
    shown = [(key, verdict) for key, verdict in rows if not math.isnan(verdict.ratio)][:MOST]
    with style.drawing():
        drawn = style.figure(WIDTH, 0.9 + 0.2 * len(shown))
        axis = drawn.subplots()
        for row, (key, verdict) in enumerate(shown):
            own = styles[key.contender]
            ends = (verdict.low, verdict.high)
            found = axis.plot(ends, (row, row), color=own.colour, linewidth=1.6)
            found += axis.plot(
                [verdict.ratio], [row], marker=own.marker, color=own.colour, linestyle="none",
                fillstyle=_FILL.get(verdict.state, "none"), label=short(key.contender, 28),
            )  # fmt: skip
            picking.series(found, key.contender)
        picking.series(axis.axvline(1, color="#000000", linewidth=1), "")
        if log_shift is not None:
            line = axis.axvline(math.exp(log_shift), color="#000000", linewidth=1, linestyle="--")
            picking.series(line, "")
        axis.set_yticks(range(len(shown)), [short(label(key), 70) for key, _ in shown])
        axis.set_ylim(len(shown) - 0.4, -0.6)
        axis.grid(axis="y", linestyle=(0, (1, 3)))
        _ticks(axis, shown)
        axis.set_xlabel("candidate's time over base's (×)    ← faster · slower →")
        handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
        made = drawn.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=6)
        picking.legend(made, list(dict.fromkeys(key.contender for key, _ in shown)))
        said = [f"{label(key)}, {key.contender}: {verdict.ratio:.3g} ({verdict.low:.3g} to "
                f"{verdict.high:.3g})" for key, verdict in shown]  # fmt: skip
        alt = f"Ratios of times with their intervals, by what changed most. {'; '.join(said)}."
        svg = style.to_svg(drawn, name, title, alt)
    caption = (
        "Right of the line is slower than the base. Hollow: the interval contains 1, or the "
        "difference is too small to matter."
    )
    if log_shift is not None:
        caption += " Dashed: the median shift of all times."
    if len(rows) > len(shown):
        caption += f" The {len(shown)} largest changes; the table has all."
    return document.Figure(name, title, caption, alt, svg, WIDTH, data)


def _ticks(axis, rows: Sequence[tuple[Key, Verdict]]) -> None:
    low = min([0.9, *(verdict.low for _, verdict in rows)])
    high = max([1.1, *(verdict.high for _, verdict in rows)])
    axis.set_xscale("log")
    axis.set_xlim(low / 1.02, high * 1.02)
    if high / low < 4:
        axis.xaxis.set_major_locator(ticker.MaxNLocator(7, steps=[1, 2, 2.5, 5]))
    else:
        steps = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
        axis.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=steps))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axis.xaxis.set_minor_locator(ticker.NullLocator())


def label(key: Key) -> str:
    """A figure in a line: the case without its suite and seed, and which pass."""
    parts = key.case.split("/")
    pass_of = key.metric.removesuffix("_time_s").replace("_", " ")
    return f"{'/'.join(parts[1:3])} {' '.join(parts[3:5])} {pass_of}"
