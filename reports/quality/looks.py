"""How losses look, everywhere on the page the same: colour, marker and line style of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import ticker

from ..style import Look, Looks, short

UNBOUNDED = ("_deg", "_bytes", "_per_second", "_s", "loss", "_distance", "_norm_mean", "_p5")
UNTRAINED = "untrained network"
_GREY = Look("#888888", "x", (0, (1, 2)), "×")
_PALETTE = (
    Look("#0072B2", "^", "-", "▲"),
    Look("#D55E00", "s", (0, (6, 2)), "■"),
    Look("#009E73", "D", (0, (2, 1.2)), "◆"),
    Look("#000000", "o", "-", "●"),
    Look("#CC79A7", "p", (0, (4, 1, 1, 1, 1, 1)), "⬟"),
    Look("#E69F00", "v", (0, (6, 2, 1, 2)), "▼"),
    Look("#56B4E9", "*", (0, (8, 3)), "★"),
    Look("#B8A800", "<", (0, (3, 3)), "◀"),
    Look("#7A4FBF", ">", (0, (1, 1)), "▶"),
)
_STYLES: tuple = ("-", (0, (6, 2)), (0, (2, 1.2)), (0, (6, 2, 1, 2)), (0, (1, 1)))


def look(place: int) -> Look:
    """The look of the line at a place; those past the palette's end come again with another
    line style, so that no two of the first 45 are the same."""
    known = _PALETTE[place % len(_PALETTE)]
    around = place // len(_PALETTE)
    if not around:
        return known
    style = _STYLES[(_PALETTE.index(known) + around) % len(_STYLES)]
    return Look(known.colour, known.marker, style, known.glyph)


class LossLooks(Looks):
    """By label, in the order given."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(())
        self._looks = {label: look(place) for place, label in enumerate(labels)}
        self._looks[UNTRAINED] = _GREY
        self.order = list(labels)


def ticks(axis: Any, most: int = 6) -> None:
    """Round figures on a linear axis, plain decimals at powers of ten on a logarithmic one."""
    if axis.get_scale() == "log":
        low, high = axis.get_view_interval()
        subs = (1.0,) if high > 30 * low else (1.0, 2.0, 5.0)
        axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=8))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_locator(ticker.NullLocator())
    else:
        axis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 5, 10]))


def within(axis: Any, letter: str, metric: str) -> None:
    """Cuts the axis of a share where no share can be: intervals of few seeds reach beyond."""
    if not metric.endswith(UNBOUNDED):
        low, high = getattr(axis, f"get_{letter}lim")()
        getattr(axis, f"set_{letter}lim")(max(low, -0.02), min(high, 1.02))


def name(text: str, most: int = 34) -> str:
    """A label that leaves room for what it labels."""
    return short(text, most)
