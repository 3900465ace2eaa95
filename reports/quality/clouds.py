"""Many points in few bytes: each is a stroke or two of one path, in its own colour and shape."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Strokes

from .. import style
from .styles import style_at

# Points drawn in a figure; beyond, each panel shows an even part of its own.
MOST = 3000
FEWEST = 120
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
NAMED = 14
_GREY = "#b5b5b5"


def chosen(count: int, panels: int) -> np.ndarray:
    """Indices of the points to draw: all, or an even part that keeps the figure small."""
    most = max(FEWEST, MOST // max(1, panels))
    # By multiples of the golden ratio: spread over the images whatever period their order has.
    places = np.argsort(np.arange(count) * 0.6180339887498949 % 1, kind="stable")
    return np.sort(places[:most])


def square(xs: Sequence[float], ys: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Limits with one scale on both axes, so that angles and distances are what they look like."""
    middle_x, middle_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    half = max(max(xs) - min(xs), max(ys) - min(ys)) / 2 * 1.08 or 1.0
    return (middle_x - half, middle_x + half), (middle_y - half, middle_y + half)


def settle(drawn: Any) -> None:
    """Lays the figure out for good: strokes of clouds are placed on paper, not in data."""
    drawn.get_layout_engine().execute(drawn)
    drawn.set_layout_engine("none")
    for axis in drawn.axes:
        axis.apply_aspect()


def cloud(axis: Any, xs: Sequence[float], ys: Sequence[float], place: int | None) -> None:
    """Points of one kind on axes that are settled; ``place`` chooses colour and shape, None is
    the rest, in grey."""
    cap, strokes = SHAPES[0] if place is None else SHAPES[place % len(SHAPES)]
    colour = _GREY if place is None else style_at(place % 8).colour
    inches = axis.figure.dpi_scale_trans
    centres = axis.transData.transform(np.column_stack([xs, ys]))
    centres = inches.inverted().transform(centres)
    parts = np.array(strokes).reshape(len(strokes), 2, 2) / 72
    points = (centres[:, None, None, :] + parts[None]).reshape(-1, 2)
    codes = np.tile([Strokes.MOVETO, Strokes.LINETO], len(points) // 2)
    path = Strokes(points, codes)
    path.should_simplify = False
    width = _WIDTH if cap == "butt" else _DOT_WIDTH
    axis.add_artist(PathPatch(
        path, transform=inches, facecolor="none", edgecolor=colour, linewidth=width, capstyle=cap,
        clip_on=True, zorder=1.5 if place is None else 2,
    ))  # fmt: skip


def by_identity(identities: Sequence[float]) -> list[tuple[int | None, np.ndarray]]:
    """(place, indices) of each kind of point: the identities with most images in styles of their
    own, all others together in grey and first, so that they lie below."""
    labels = np.asarray(identities)
    counts = Counter(labels.tolist())
    named = sorted(counts, key=lambda one: (-counts[one], one))[:NAMED]
    named.sort()
    found: list[tuple[int | None, np.ndarray]] = []
    rest = np.flatnonzero(~np.isin(labels, named))
    if rest.size:
        found.append((None, rest))
    return found + [(place, np.flatnonzero(labels == one)) for place, one in enumerate(named)]


def proxy(place: int, label: str) -> Line2D:
    """What stands in a legend for `cloud`'s points of a place."""
    return Line2D([], [], color=style_at(place % 8).colour, marker=MARKERS[place % len(MARKERS)],
                  linestyle="none", markersize=5, label=label)  # fmt: skip


_STROKE = re.compile(r"M ([-\d.]+) ([-\d.]+) L ([-\d.]+) ([-\d.]+)")
_MARKERS = re.compile(r'(?:<use [^>]*?( style="[^"]*")/>)(?:<use [^>]*?\1/>){2,}')
_PATH = re.compile(r'(?<= d=")(?:M [-\d.]+ [-\d.]+ L [-\d.]+ [-\d.]+ ?){4,}(?=")')


def to_svg(drawn: Any, name: str, title: str, alt: str) -> str:
    """As `reports.style.to_svg`, with the strokes of clouds relative and to a tenth of a point."""
    svg = style.to_svg(drawn, name, title, alt)
    svg = _PATH.sub(lambda path: _STROKE.sub(_relative, path[0]).replace(" M", "M").strip(), svg)
    return slim(svg)


def slim(svg: str) -> str:
    """Markers of a line say their style once, in a group of their own."""
    return _MARKERS.sub(lambda run: f"<g{run[1]}>{run[0].replace(run[1], '')}</g>", svg)


def _relative(stroke: re.Match[str]) -> str:
    x, y, to_x, to_y = map(float, stroke.groups())
    across, down = _tenth(to_x - x), _tenth(to_y - y)
    if across == down == "0":  # a dot is drawn by the ends of its stroke
        across = ".1"
    move = f"h{across}" if down == "0" else f"v{down}" if across == "0" else f"l{across} {down}"
    return f"M{_tenth(x)} {_tenth(y)}{move}"


def _tenth(number: float) -> str:
    text = f"{number:.1f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text.replace("0.", ".", 1) if abs(number) < 1 else text
