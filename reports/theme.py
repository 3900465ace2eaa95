"""Figures that follow the page's colours, light or dark, and whose ids can't meet on one page."""

from __future__ import annotations

from dataclasses import replace

from .document import Figure
from .style import INK, PALE, SOFT

# Colours of the figure that stand for the page's own; what carries a contender stays as it is.
OURS = {
    "#ffffff": "var(--card)",
    INK: "var(--ink)",
    "#333333": "var(--ink)",
    SOFT: "var(--soft)",
    PALE: "var(--line)",
}


def themed(figure: Figure) -> Figure:
    svg = figure.svg
    for colour, ours in OURS.items():
        for kind in ("fill", "stroke"):
            svg = svg.replace(f"{kind}: {colour}", f"{kind}: {ours}")
    return replace(figure, svg=svg)


def renamed(figure: Figure, prefix: str) -> Figure:
    """The same figure under another name; every id inside begins with it."""
    old, new = figure.name, f"{prefix}-{figure.name}"
    svg = figure.svg
    for before in ('"', "#", " "):
        svg = svg.replace(f"{before}{old}-", f"{before}{new}-")
    return replace(figure, name=new, svg=svg)
