"""The figures of the history: one for each loss, variant and metric, a panel a case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.metrics import METRICS

from .. import document, style, units
from ..document import Cell
from ..style import Styles, short
from .changes import Change
from .gathering import ANY, Series

COLUMNS = 3
PANEL = (3.3, 2.2)
_LABELS = 6
# Lines further apart than this share no linear axis; nearer, a logarithmic one has too few labels.
_WIDE = 30.0


def figure(
    name: str,
    series: Sequence[Series],
    found: Mapping[Series, Sequence[Change]],
    order: Sequence[str],
    styles: Styles,
) -> document.Figure:
    """All series of one family and metric over the commits in ``order`` that any of them has."""
    key = series[0].key
    cases = sorted({one.key.case for one in series})
    having = {commit for one in series for commit in one.commits}
    shown = [commit for commit in order if commit in having]
    columns = min(COLUMNS, len(cases))
    rows = math.ceil(len(cases) / columns)
    width = PANEL[0] * columns + 0.3
    title = f"{key.family}: {key.metric}" + ("" if key.machine == ANY else f", {key.machine}")
    alt = _alt(series, found)
    with style.drawing():
        drawn = style.figure(width, PANEL[1] * rows + 0.3)
        axes = drawn.subplots(rows, columns, sharex=True, squeeze=False).flat
        for index, axis in enumerate(axes):
            if index >= len(cases):
                axis.set_axis_off()
                continue
            here = [one for one in series if one.key.case == cases[index]]
            _panel(axis, cases[index], here, found, shown, styles)
        svg = style.to_svg(drawn, name, title, alt)
    caption = (
        f"{METRICS[key.metric].summary.capitalize()}, one point per commit, oldest left. A dashed "
        "line marks the start of a new level."
    )
    return document.Figure(name, title, caption, alt, svg, width, _table(series))


def _panel(
    axis: Any,
    case: str,
    series: Sequence[Series],
    found: Mapping[Series, Sequence[Change]],
    shown: Sequence[str],
    styles: Styles,
) -> None:
    place = {commit: number for number, commit in enumerate(shown)}
    for one in series:
        own = styles[one.key.contender]
        x = [place[commit] for commit in one.commits]
        axis.plot(x, one.values, color=own.colour, marker=own.marker, linestyle=own.line,
                  label=short(one.key.contender, 28), linewidth=1.0, markersize=3.5)  # fmt: skip
        for change in found[one]:
            axis.axvline((x[change.at - 1] + x[change.at]) / 2, color=own.colour, linewidth=1.0,
                         linestyle="--")  # fmt: skip
    figures = [figure for one in series for figure in one.values]
    if min(figures) > 0 and max(figures) > _WIDE * min(figures):
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=min(0.0, *figures), top=1.15 * max(figures) or 1.0)
    metric = series[0].key.metric
    axis.yaxis.set_major_formatter(lambda figure, _: units.figure(metric, figure))
    axis.yaxis.set_minor_formatter(lambda figure, _: "")
    step = math.ceil(len(shown) / _LABELS)
    axis.set_xticks(range(0, len(shown), step), [commit[:7] for commit in shown[::step]])
    # The suite and the loss stand in the figure's title or are the same in every panel.
    axis.set_title(short("/".join(case.split("/")[3:]) or case, 48), loc="left")
    axis.legend(loc="best")


def _alt(series: Sequence[Series], found: Mapping[Series, Sequence[Change]]) -> str:
    parts = []
    for one in series:
        levels = list(found[one])
        if levels:
            at = ", ".join(one.commits[change.at][:12] for change in levels)
            parts.append(f"{one.key.case}, {one.key.contender} changes at {at}")
    what = f"Line charts of {series[0].key.metric} over commits. "
    return what + ("; ".join(parts) + "." if parts else "No level changes.")


def _table(series: Sequence[Series]) -> document.Table:
    rows = [
        (one.key.case, Cell(one.key.contender, mark=one.key.contender), Cell(commit, code=True),
         units.figure(one.key.metric, number))
        for one in series
        for commit, number in zip(one.commits, one.values, strict=True)
    ]  # fmt: skip
    return document.table(("case", "contender", "commit", "value"), rows, numeric=("value",))
