"""The style of each contender and of each loss, the same everywhere.

Colours are Okabe and Ito's. Each style has a marker and a line of its own too, so that nothing
rests on colour: figures read on a grey printer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

INK, SOFT, PALE = "#000000", "#555555", "#dddddd"
BAD = "#B2182B"
DASHED = (0, (6, 2))


@dataclass(frozen=True)
class Style:
    """``glyph`` is the marker as a character, for tables."""

    colour: str
    marker: str
    line: Any
    glyph: str

    @property
    def ink(self) -> str:
        """The colour on a page: black is whatever the page writes in, be it dark or light."""
        return "currentColor" if self.colour == "#000000" else self.colour


PALETTE = (
    Style("#0072B2", "^", "-", "▲"),
    Style("#D55E00", "s", DASHED, "■"),
    Style("#009E73", "D", (0, (2, 1.2)), "◆"),
    Style(INK, "o", "-", "●"),
    Style("#CC79A7", "p", (0, (4, 1, 1, 1, 1, 1)), "⬟"),
    Style("#E69F00", "v", (0, (6, 2, 1, 2)), "▼"),
    Style("#56B4E9", "*", (0, (8, 3)), "★"),
    Style("#B8A800", "<", (0, (3, 3)), "◀"),
    Style("#7A4FBF", ">", (0, (1, 1)), "▶"),
)
# Of a line that limits others, such as a roof.
LIMIT = Style(SOFT, "", DASHED, "")
GREY = Style("#888888", "x", (0, (1, 2)), "×")
_KNOWN = {
    "reference": GREY,
    "eager": PALETTE[3],
    "compiled": Style("#E69F00", "s", DASHED, "■"),
    "triton": PALETTE[0],
    "pytorch-metric-learning": PALETTE[2],
    "tiled": Style("#D55E00", "v", (0, (6, 2, 1, 2)), "▼"),
    "liger-kernel": PALETTE[4],
    "cut-cross-entropy": PALETTE[6],
    "quack-kernels": PALETTE[7],
}
_SPARE = (
    PALETTE[8],
    Style("#A6761D", "P", (0, (5, 1, 1, 1)), "✚"),
    Style("#E7298A", "h", (0, (7, 1.5)), "⬢"),
    Style("#666666", "X", (0, (2, 2)), "✖"),
)
_LINES: tuple = ("-", DASHED, (0, (2, 1.2)), (0, (6, 2, 1, 2)), (0, (1, 1)))
UNTRAINED = "untrained network"


def style_at(place: int) -> Style:
    """The style of the line at a place; those past the palette's end come again with another
    line style, so that no two of the first 45 are the same."""
    known = PALETTE[place % len(PALETTE)]
    around = place // len(PALETTE)
    if not around:
        return known
    line = _LINES[(place % len(PALETTE) + around) % len(_LINES)]
    return Style(known.colour, known.marker, line, known.glyph)


class Styles:
    """A style for every contender of a run; unknown ones share out the spare ones by name."""

    def __init__(self, contenders: Sequence[str]) -> None:
        others = sorted(set(contenders) - set(_KNOWN))
        spare = {name: _SPARE[i % len(_SPARE)] for i, name in enumerate(others)}
        self._styles = {**_KNOWN, **spare}
        self.order = sorted(set(contenders), key=self.place)

    def __getitem__(self, contender: str) -> Style:
        return self._styles[contender]

    def __contains__(self, contender: str) -> bool:
        return contender in self._styles

    def place(self, contender: str) -> int:
        return list(self._styles).index(contender)

    def css(self) -> Markup:
        """A CSS rule for the mark of each (``.m0``, ``.m1``, ...), said once a page. Readers of the
        screen are not read the mark, for the name follows it."""
        marks = (
            f'.m{place}::before {{ color: {self[name].ink}; content: "{self[name].glyph}"; '
            f'content: "{self[name].glyph}" / ""; }}\n'
            for place, name in enumerate(self._styles)
        )
        return Markup("".join(marks))


class LossStyles(Styles):
    """By label, in the order given."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(())
        self._styles = {label: style_at(place) for place, label in enumerate(labels)}
        self._styles[UNTRAINED] = GREY
        self.order = list(labels)


def plain(text: str) -> str:
    """One line without control characters, which SVG can't hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def short(text: str, most: int = 60) -> str:
    """A label that leaves room for what it labels; the table beside the figure has all of it."""
    text = plain(text)
    return text if len(text) <= most else text[: most - 1] + "…"
