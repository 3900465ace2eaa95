"""Ratios around 1 with their intervals, what changed most at the top."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import document, drawing, plot
from ..plot import Axis, Panel, Plot, Rule, dots
from ..style import Styles
from .ratios import Verdict
from .runs import Key

MOST = 40
WIDTH = 9.9
_SIGNIFICANT = ("SLOWER", "FASTER")


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
    points = [(key.contender, verdict.state not in _SIGNIFICANT, verdict.ratio, row, verdict)
              for row, (key, verdict) in enumerate(shown)]  # fmt: skip
    rules = [Rule("x", 1)]
    if log_shift is not None:
        rules.append(Rule("x", math.exp(log_shift), dashed=True))
    low = min([0.9, *(verdict.low for _, verdict in shown)])
    high = max([1.1, *(verdict.high for _, verdict in shown)])
    x = Axis("candidate's time over base's (×)    ← faster · slower →", log=True,
             limits=(low / 1.02, high * 1.02), ticks=9, show="{:g}×".format)  # fmt: skip
    said = [f"{label(key)}, {key.contender}: {verdict.ratio:.3g} ({verdict.low:.3g} to "
            f"{verdict.high:.3g})" for key, verdict in shown]  # fmt: skip
    caption = (
        "Right of the line is slower than the base. Hollow: the interval contains 1, or the "
        "difference is too small to matter."
    )
    if log_shift is not None:
        caption += " Dashed: the median shift of all times."
    if len(rows) > len(shown):
        caption += f" The {len(shown)} largest changes; the table has all."
    y = plot.rows([label(key) for key, _ in shown], 70)
    return drawing.draw(Plot(
        name, title, caption,
        f"Ratios of times with their intervals, by what changed most. {'; '.join(said)}.", data,
        [Panel(x, y, dots(points, styles), rules=rules)], WIDTH, 0.9 + 0.2 * len(shown),
        legend="above",
    ))  # fmt: skip


def label(key: Key) -> str:
    """A figure in a line: the case without its suite and seed, and which pass."""
    parts = key.case.split("/")
    pass_of = key.metric.removesuffix("_time_s").replace("_", " ")
    return f"{'/'.join(parts[1:3])} {' '.join(parts[3:5])} {pass_of}"
