"""Many points in few bytes: each is a stroke or two of one path, in its own colour and shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Strokes

from .plot import Cloud, Panel
from .style import style_at

# A shape is strokes (from x, y to x, y) in points about the middle; the first two are single dots,
# round and square.
_TINY = 0.1
_R = 1.6
SHAPES: tuple[tuple[str, tuple[tuple[float, float, float, float], ...]], ...] = (
    ("round", ((0, 0, _TINY, 0),)),
    ("butt", ((-_R, 0, _R, 0), (0, -_R, 0, _R))),
    ("projecting", ((0, 0, _TINY, 0),)),
    ("butt", ((-_R, -_R, _R, _R), (-_R, _R, _R, -_R))),
    ("butt", ((-_R, 0, _R, 0),)),
    ("butt", ((0, -_R, 0, _R),)),
    ("butt", ((-_R, -_R, 0, _R), (0, _R, _R, -_R))),
)
# The markers that come closest, for legends.
MARKERS = (".", "+", "s", "x", "_", "|", "^")
_DOT_WIDTH, _WIDTH = 2.4, 0.9
_GREY = "#b5b5b5"


def draw(drawn: Figure, pairs: Sequence[tuple[Any, Panel]]) -> None:
    """Lays the figure out for good if it has clouds: their strokes are placed on paper."""
    if not any(panel.clouds for _, panel in pairs):
        return
    engine = drawn.get_layout_engine()
    assert engine is not None
    engine.execute(drawn)
    drawn.set_layout_engine("none")
    for axis, panel in pairs:
        axis.apply_aspect()
        for cloud in panel.clouds:
            _cloud(axis, cloud)


def _cloud(axis: Any, one: Cloud) -> None:
    cap, strokes = SHAPES[0 if one.place is None else one.place % len(SHAPES)]
    colour = _GREY if one.place is None else style_at(one.place % 8).colour
    inches = axis.figure.dpi_scale_trans
    centres = axis.transData.transform(np.column_stack([one.x, one.y]))
    centres = inches.inverted().transform(centres)
    parts = np.array(strokes).reshape(len(strokes), 2, 2) / 72
    points = (centres[:, None, None, :] + parts[None]).reshape(-1, 2)
    codes = np.tile([Strokes.MOVETO, Strokes.LINETO], len(points) // 2)
    path = Strokes(points, codes)
    path.should_simplify = False
    width = _WIDTH if cap == "butt" else _DOT_WIDTH
    axis.add_artist(PathPatch(
        path, transform=inches, facecolor="none", edgecolor=colour, linewidth=width, capstyle=cap,
        clip_on=True, zorder=1.5 if one.place is None else 2,
    ))  # fmt: skip


def proxy(place: int) -> Line2D:
    """What stands in a legend for the points of a place."""
    return Line2D([], [], color=style_at(place % 8).colour, marker=MARKERS[place % len(MARKERS)],
                  linestyle="none", markersize=5)  # fmt: skip
