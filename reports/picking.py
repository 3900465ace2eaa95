"""What a page's script needs to know of a figure: whose each series is, and where its axes lie.

Matplotlib writes an artist's gid as the id of its group. A gid that begins as here becomes an
attribute of the group (``data-contender``, ``data-key``, ``data-axes``, ``data-tick``), which
``templates/interactive.js`` goes by; a figure says the same without any.
"""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any
from urllib.parse import quote, unquote

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend

# A gid is quoted as in an address, so that matplotlib has nothing in it to escape.
_GROUPS = re.compile(r'(?<=<g) id="(contender|key|axes):([^"]*)"')
_TICKS = re.compile(r'(?<=<g) id="([xy])tick_\d+"')


def series(artist: Any, contender: str) -> None:
    """Says that what was drawn is this contender's: an artist, a list of them, or what errorbar
    returns. An empty name moves with the axes and is never hidden."""
    if artist is None:
        return
    if isinstance(artist, list | tuple):
        for one in artist:
            series(one, contender)
        return
    if isinstance(artist, LineCollection) and len(artist.get_segments()) == 1:
        # Alone it would be written as a marker, whose ends can't be moved one by one.
        artist.set_segments(artist.get_segments() * 2)
    artist.set_gid(f"contender:{quote(contender)}")


def legend(made: Legend, contenders: list[str | None]) -> None:
    """Says whose the entries of a legend are, in their order; they fade with their series. None
    is nobody's."""
    for handle, text, name in zip(made.legend_handles, made.get_texts(), contenders, strict=False):
        for one in (handle, text):
            if one is not None and name is not None:
                one.set_gid(f"key:{quote(name)}")


def axes(drawn: Figure) -> None:
    """Says of each panel with a logarithmic axis where on paper it begins and ends, and at what
    value; the figure has to be laid out. From and to are in points, y from the top."""
    height, point = drawn.get_figheight() * 72, 72 / drawn.get_dpi()
    for axis in drawn.axes:
        box = axis.get_window_extent()
        ends = {
            "x": (axis.get_xscale(), box.x0 * point, box.x1 * point, *axis.get_xlim()),
            "y": (axis.get_yscale(), height - box.y0 * point, height - box.y1 * point,
                  *axis.get_ylim()),
        }  # fmt: skip
        found = {
            name: [round(start, 2), round(end, 2), float(f"{low:.6g}"), float(f"{high:.6g}")]
            for name, (scale, start, end, low, high) in ends.items()
            if scale == "log" and low < high
        }
        tagged = any(str(child.get_gid()).startswith("contender:") for child in axis.get_children())
        if found and tagged:
            axis.set_gid("axes:" + quote(json.dumps(found, separators=(",", ":"))))


def attributes(svg: str) -> str:
    """A figure as matplotlib wrote it, with its gids as attributes."""
    svg, found = _GROUPS.subn(lambda m: f' data-{m[1]}="{_value(m[2])}"', svg)
    return _TICKS.sub(r' data-tick="\1"', svg) if found and " data-axes=" in svg else svg


def _value(quoted: str) -> str:
    """Without control characters, which SVG can't hold."""
    return escape("".join(c if c.isprintable() else " " for c in unquote(quoted)))
