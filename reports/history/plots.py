"""The figures of the history: one for each loss, variant and metric, a panel a case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.instruments.metrics import METRICS

from .. import document, drawing, plot, units
from ..document import Cell
from ..plot import Axis, Panel, Plot, Rule, grid
from ..style import Styles, short
from .changes import Change
from .gathering import ANY, Series

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
    columns, rows = grid(len(cases))
    panels = [
        _panel(case, [one for one in series if one.key.case == case], found, shown, styles)
        for case in cases
    ]
    caption = (
        f"{METRICS[key.metric].summary.capitalize()}, one point per commit, oldest left. A dashed "
        "line marks the start of a new level."
    )
    return drawing.draw(Plot(
        name, f"{key.family}: {key.metric}" + ("" if key.machine == ANY else f", {key.machine}"),
        caption, _alt(series, found), _table(series), panels, PANEL[0] * columns + 0.3,
        PANEL[1] * rows + 0.3, columns,
    ))  # fmt: skip


def _panel(
    case: str,
    series: Sequence[Series],
    found: Mapping[Series, Sequence[Change]],
    shown: Sequence[str],
    styles: Styles,
) -> Panel:
    place = {commit: number for number, commit in enumerate(shown)}
    lines, rules = [], []
    for one in series:
        own = styles[one.key.contender]
        x = [place[commit] for commit in one.commits]
        lines.append(
            plot.Series(x, one.values, own, short(one.key.contender, 28), width=1.0, size=3.5)
        )
        rules += [Rule("x", (x[change.at - 1] + x[change.at]) / 2, colour=own.colour, dashed=True)
                  for change in found[one]]  # fmt: skip
    figures = [figure for one in series for figure in one.values]
    log = min(figures) > 0 and max(figures) > _WIDE * min(figures)
    limits = (None, None) if log else (min(0.0, *figures), 1.15 * max(figures) or 1.0)
    metric, step = series[0].key.metric, math.ceil(len(shown) / _LABELS)
    # The suite and the loss stand in the figure's title or are the same in every panel.
    return Panel(
        Axis(scale="commits", ticks=range(0, len(shown), step),
             names=[commit[:7] for commit in shown[::step]]),
        Axis(log=log, limits=limits, show=lambda figure: units.figure(metric, figure)),
        lines, short("/".join(case.split("/")[3:]) or case, 48), rules, legend="best",
    )  # fmt: skip


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
