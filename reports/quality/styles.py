"""Colour, marker and line style of each loss, the same everywhere on the page; and where the names
of a claim's lines stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import ticker

from suites.claims.claim import Panel

from ..style import Style, Styles, short

UNBOUNDED = ("_deg", "_bytes", "_per_second", "_s", "loss", "_distance", "_norm_mean", "_p5")
UNTRAINED = "untrained network"
_GREY = Style("#888888", "x", (0, (1, 2)), "×")
_PALETTE = (
    Style("#0072B2", "^", "-", "▲"),
    Style("#D55E00", "s", (0, (6, 2)), "■"),
    Style("#009E73", "D", (0, (2, 1.2)), "◆"),
    Style("#000000", "o", "-", "●"),
    Style("#CC79A7", "p", (0, (4, 1, 1, 1, 1, 1)), "⬟"),
    Style("#E69F00", "v", (0, (6, 2, 1, 2)), "▼"),
    Style("#56B4E9", "*", (0, (8, 3)), "★"),
    Style("#B8A800", "<", (0, (3, 3)), "◀"),
    Style("#7A4FBF", ">", (0, (1, 1)), "▶"),
)
_STYLES: tuple = ("-", (0, (6, 2)), (0, (2, 1.2)), (0, (6, 2, 1, 2)), (0, (1, 1)))
# Inches that a letter of the legend takes, and all of an entry beside its text.
_LETTER, _ENTRY = 0.062, 0.5
_MOST_COLUMNS = 4


def style_at(place: int) -> Style:
    """The style of the line at a place; those past the palette's end come again with another
    line style, so that no two of the first 45 are the same."""
    known = _PALETTE[place % len(_PALETTE)]
    around = place // len(_PALETTE)
    if not around:
        return known
    style = _STYLES[(_PALETTE.index(known) + around) % len(_STYLES)]
    return Style(known.colour, known.marker, style, known.glyph)


class LossStyles(Styles):
    """By label, in the order given."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(())
        self._styles = {label: style_at(place) for place, label in enumerate(labels)}
        self._styles[UNTRAINED] = _GREY
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


def by_label(labels: Sequence[str], styles: Styles | None) -> dict[str, Style]:
    """A loss keeps its style of the whole page; other labels get styles that no loss here has."""
    found: dict[str, Style] = {}
    for label in labels if styles else ():
        assert styles is not None
        losses = [key for key in styles.order if label in (key, key.partition("/")[0])]
        if len(losses) == 1:
            found[label] = styles[losses[0]]
    taken = {one.colour for one in found.values()}
    free = [one for one in map(style_at, range(9 * len(labels) + 9)) if one.colour not in taken]
    spare = iter(free or map(style_at, range(len(labels))))
    return {label: found.get(label) or next(spare) for label in labels}


def places(panels: Sequence[Panel]) -> dict[float, str]:
    """Names of the places on an axis that counts: the label of what stands at that place alone."""
    named: dict[float, str] = {}
    for line in (line for panel in panels for line in panel.lines if line.y):
        if len(set(line.x)) == 1 and named.setdefault(line.x[0], line.label) != line.label:
            return {}
    return named if all(float(place).is_integer() for place in named) else {}


def name_places(axis: Any, named: Mapping[float, str]) -> None:
    """Instead of figures that mean nothing."""
    axis.set_xticks(sorted(named), [name(named[place], 30) for place in sorted(named)],
                    rotation=35, ha="right", rotation_mode="anchor")  # fmt: skip
    axis.set_xlim(min(named) - 0.5, max(named) + 0.5)


def legend(drawn: Any, width: float, without: Sequence[str] = ()) -> None:
    """Below the figure, in as many columns as it has room for; labels that stand at their places
    are not said twice, nor is a single one said at all."""
    handles = {
        text: handle
        for axis in drawn.axes
        for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    shown = {text: handle for text, handle in handles.items() if text not in without}
    if len(handles) > 1 and shown:
        drawn.legend(shown.values(), shown.keys(), loc="outside lower center",
                     ncols=legend_columns(list(shown), width))  # fmt: skip


def legend_columns(labels: Sequence[str], width: float) -> int:
    """That many entries stand side by side in so many inches."""
    entry = _ENTRY + _LETTER * max(map(len, labels))
    return max(1, min(_MOST_COLUMNS, len(labels), int(width / entry)))
