"""A figure as data: panels of series over two axes. `drawing.draw` makes the SVG of it.

A builder says what is shown, in whose style, on which axes; how it is drawn is said once, there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, Protocol

from .document import Table
from .rows import Rows
from .style import INK, Style, Styles, short


@dataclass(frozen=True)
class Axis:
    """``ticks``: at most how many, or at which values; ``names`` stand there instead of figures,
    ``show`` writes a figure. Panels whose axes name one ``scale`` share it; a ``share`` is cut
    where no share can be: intervals of few seeds reach beyond."""

    label: str = ""
    scale: str = ""
    log: bool = False
    limits: tuple[float | None, float | None] = (None, None)
    ticks: int | Sequence[float] = 6
    names: Sequence[str] = ()
    slanted: bool = False
    show: Callable[[float], str] | None = None
    base: int = 10
    whole: bool = False
    share: bool = False


@dataclass(frozen=True)
class Series:
    """Points in one style. ``low`` and ``high`` are the ends of ``y``'s intervals, or of ``x``'s
    (``spread``); an end may be None. ``join``: "bins" is a histogram, whose ``x`` holds one edge
    more than ``y``. ``label`` stands in the legend; ``of`` is whose it is, for a reader who hides
    that contender; ``marks``: each how manieth point has a marker, or which.
    """

    x: Sequence[float]
    y: Sequence[float]
    style: Style
    label: str = ""
    of: str | None = None
    join: Literal["", "line", "steps", "bins"] = "line"
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    spread: Literal["y", "x", "band"] = "y"
    hollow: bool = False
    width: float = 1.4
    size: float = 4.5
    marks: int | Sequence[int] = 1


@dataclass(frozen=True)
class Cloud:
    """Many points of one kind; ``place`` chooses colour and shape, None is the rest, in grey."""

    x: Sequence[float]
    y: Sequence[float]
    place: int | None
    label: str = ""


@dataclass(frozen=True)
class Rule:
    """A reference line at a value of one axis, or the ground from there ``to`` another; None is
    where the axis begins."""

    axis: Literal["x", "y"]
    at: float | None
    to: float | None = None
    colour: str = INK
    width: float = 1.0
    dashed: bool = False
    ground: bool = False


@dataclass(frozen=True)
class Field:
    """One field of a heat map: where, what stands in it, and its colours; ``framed`` sets it
    apart."""

    x: float
    y: float
    text: str
    colour: str
    ink: str = INK
    bold: bool = False
    framed: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes. ``headings`` stand over the fields of a heat map, each at its x; ``legend``
    is the corner of the panel's own."""

    x: Axis
    y: Axis
    series: Sequence[Series] = ()
    title: str = ""
    rules: Sequence[Rule] = ()
    clouds: Sequence[Cloud] = ()
    fields: Sequence[Field] = ()
    headings: Sequence[tuple[float, str]] = ()
    legend: str = ""
    square: bool = False


@dataclass(frozen=True)
class Plot:
    """A whole figure, ``width`` by ``height`` inches, ``columns`` panels a row (0: all). ``labels``
    are of all x and y axes together, ``key`` explains the colours of fields. For the rest see
    `document.Figure`."""

    name: str
    title: str
    caption: str
    alt: str
    data: Table
    panels: Sequence[Panel]
    width: float
    height: float
    columns: int = 0
    legend: Literal["", "above", "below", "right"] = ""
    labels: tuple[str, str] = ("", "")
    key: Sequence[Field] = ()
    cases: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


class Ended(Protocol):
    """An interval, whatever its middle is called."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def ends(found: Sequence[Ended]) -> dict[str, Any]:
    """The intervals of a `Series`, as its arguments."""
    return {"low": [one.low for one in found], "high": [one.high for one in found]}


def rows(names: Sequence[str], most: int = 60) -> Axis:
    """A vertical axis with a name a row, the first at the top."""
    shown = [short(name, most) for name in names]
    return Axis("", "rows", limits=(len(names) - 0.4, -0.6), ticks=range(len(names)), names=shown)


def dots(points: Iterable[tuple[str, bool, float, float, Ended]], styles: Styles) -> list[Series]:
    """Points with intervals in rows, each (contender, hollow, x, y, interval): a series a
    contender, and one of its hollow points. Who has both is full in the legend."""
    return [
        Series(
            [x for _, _, x, _, _ in found], [y for _, _, _, y, _ in found], styles[name],
            short(name, 28), name, "", **ends([one[-1] for one in found]), spread="x",
            hollow=hollow,
        )
        for name, own in Rows(points).pivot(itemgetter(0), itemgetter(1)).items()
        for hollow, found in sorted(own.items())
    ]  # fmt: skip


def percents(label: str = "", scale: str = "") -> Axis:
    return Axis(label, scale, show=lambda value: f"{100 * value:.0f}%")


def grid(count: int, most: int = 3) -> tuple[int, int]:
    """Columns and rows of so many panels."""
    columns = 2 if count == 4 and most == 3 else max(1, min(most, count))
    return columns, math.ceil(count / columns)


# Inches that a letter of the legend takes, and all of an entry beside its text.
_LETTER, _ENTRY = 0.062, 0.5


def legend_columns(labels: Sequence[str], width: float, most: int = 4) -> int:
    """That many entries stand side by side in so many inches."""
    entry = _ENTRY + _LETTER * max(map(len, labels))
    return max(1, min(most, len(labels), int(width / entry)))
