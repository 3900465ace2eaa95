"""The style of each contender, the same everywhere; matplotlib set up so that bytes repeat.

Colours are Okabe and Ito's. Each contender has a marker and a line style too, so that nothing
rests on colour: figures read on a grey printer.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from . import picking

# Nothing here goes through pyplot: no window, no state left behind.
RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "marginbench",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "text.parse_math": False,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
BAD = "#B2182B"


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


_KNOWN = {
    "reference": Style("#888888", "x", (0, (1, 2)), "×"),
    "eager": Style("#000000", "o", "-", "●"),
    "compiled": Style("#E69F00", "s", (0, (6, 2)), "■"),
    "triton": Style("#0072B2", "^", "-", "▲"),
    "pytorch-metric-learning": Style("#009E73", "D", (0, (2, 1.2)), "◆"),
    "tiled": Style("#D55E00", "v", (0, (6, 2, 1, 2)), "▼"),
    "liger-kernel": Style("#CC79A7", "p", (0, (4, 1, 1, 1, 1, 1)), "⬟"),
    "cut-cross-entropy": Style("#56B4E9", "*", (0, (8, 3)), "★"),
    "quack-kernels": Style("#B8A800", "<", (0, (3, 3)), "◀"),
}
_SPARE = (
    Style("#7A4FBF", ">", (0, (1, 1)), "▶"),
    Style("#A6761D", "P", (0, (5, 1, 1, 1)), "✚"),
    Style("#E7298A", "h", (0, (7, 1.5)), "⬢"),
    Style("#666666", "X", (0, (2, 2)), "✖"),
)


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


@contextmanager
def drawing() -> Iterator[None]:
    """Our settings and no others, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)  # type: ignore[arg-type]
        # Characters that DejaVu lacks are drawn by the reader's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def figure(width: float, height: float) -> Figure:
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(made)
    return made


def plain(text: str) -> str:
    """One line without control characters, which SVG can't hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def short(text: str, most: int = 60) -> str:
    """A label that leaves room for what it labels; the table beside the figure has all of it."""
    text = plain(text)
    return text if len(text) <= most else text[: most - 1] + "…"


_NUMBERS = re.compile(r'(?<= )(d|x|y|points)="([^"]*)"')
_LONG = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_GROUP = re.compile(r"<g(?: [^>]*)?(?<!/)>|</g>")
# Said once, of the whole figure.
_FONT = re.compile(r"font-family: 'DejaVu Sans'(?:; )?")
# What matplotlib writes and a page has no use for: prolog, metadata, a style sheet that would
# reach the whole page, ids of groups, rotations by nothing, indentation.
_NEEDLESS = re.compile(
    r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>"
    r'|(?<=<g) id="[^"]*"| transform="rotate\(-?0 [^"]*\)"| xmlns:xlink="[^"]*"|xlink:(?=href)',
    re.DOTALL,
)


def to_svg(drawn: Figure, name: str, title: str, alt: str) -> str:
    """One <svg> element for a page: ids that begin with ``name``, a title and a description for
    readers of the screen, coordinates to a hundredth of a point."""
    # Laid out here once: saving would otherwise draw the figure twice to do it.
    engine = drawn.get_layout_engine()
    if engine is not None:
        engine.execute(drawn)
        drawn.set_layout_engine(None)
    picking.axes(drawn)
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = _NEEDLESS.sub("", picking.attributes(text[text.index("<svg") :]))
    text = _NUMBERS.sub(lambda m: f'{m[1]}="{_short(m[2])}"', text)
    text = _ID.sub(lambda m: f"{m[1]}{name}-", text)
    text = _without_bare_groups(re.sub(r">\s+<", "><", _FONT.sub("", text)))
    head, _, rest = text.partition(">")
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    label = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    inside = (
        f'<title id="{name}-title">{escape(plain(title))}</title>'
        f'<desc id="{name}-desc">{escape(plain(alt))}</desc>'
    )
    font = "font-family: 'DejaVu Sans', Verdana, sans-serif"
    shape = f'style="stroke-linejoin: round; stroke-linecap: butt; {font}"'
    return f"{head} {label} {shape}>{inside}{rest.strip()}"


def _without_bare_groups(text: str) -> str:
    """Groups that say nothing of what is in them are most of a figure's tags."""
    said: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return "</g>" if said.pop() else ""
        said.append(tag[0] != "<g>")
        return tag[0] if said[-1] else ""

    return _GROUP.sub(kept, text)


def _short(numbers: str) -> str:
    text = _LONG.sub(lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return " ".join(text.split())
