"""LaTeX drawn as one SVG path in the colour of the text around it, by matplotlib's mathtext."""

from __future__ import annotations

import functools
import re
from html import escape

import matplotlib
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from .document import Equation
from .style import plain

SIZE = 15  # pixels an em on the page
# What mathtext lacks, and what stands for it; the rest falls back to the source.
_REPLACED = (
    (r"\\(?:frac|tfrac)(?![a-z])", r"\\dfrac"),
    (r"\\lVert|\\rVert|\\Vert", r"\\|"),
    (r"\\(?:operatorname\*?|mathop)\{", r"\\mathrm{"),
    (r"\\(?:big|Big|bigg|Bigg)[lr]?(?![a-z])", ""),
    (r"\\!|\\limits", ""),
    (r"\\(?:le)(?![a-z])", r"\\leq"),
    (r"\\(?:ge)(?![a-z])", r"\\geq"),
)
_CODES = {Path.MOVETO: "m", Path.LINETO: "l", Path.CURVE3: "q", Path.CURVE4: "c"}


def equation(latex: str) -> Equation:
    return Equation(latex, _svg(latex))


def _words(match: re.Match[str]) -> str:
    """Upright words whose spaces stay."""
    return r"\mathrm{" + match[1].replace(" ", r"\ ") + "}"


@functools.lru_cache(maxsize=512)
def _svg(latex: str) -> str:
    """Empty where mathtext can't read it."""
    source = latex
    source = re.sub(r"\\(?:text|textrm)\{([^{}]*)\}", _words, source)
    for pattern, replacement in _REPLACED:
        source = re.sub(pattern, replacement, source)
    # A dollar sign would end the formula.
    source = source.replace(r"\$", "").replace("$", "")
    with matplotlib.rc_context({"mathtext.fontset": "dejavuserif", "text.usetex": False}):
        try:
            path = TextPath((0, 0), f"${source}$", size=SIZE, prop=FontProperties())
        except (ValueError, RuntimeError):
            return ""
    if not len(path.vertices):
        return ""
    left, bottom, right, top = path.get_extents().extents
    width, height = right - left + 2, top - bottom + 2
    label = escape(plain(latex), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" width="{width:.0f}" height="{height:.0f}">'
        f'<path fill="currentColor" transform="scale(.1)" '
        f'd="{_commands(path, 1 - left, top + 1)}"/></svg>'
    )


def _commands(path: Path, right: float, down: float) -> str:
    """In tenths of a pixel from point to point, which is half as long as where each point lies."""
    parts = []
    x = y = start_x = start_y = 0
    for vertices, code in path.iter_segments(simplify=False, curves=True):
        if code == Path.CLOSEPOLY:
            x, y = start_x, start_y
            parts.append("z")
            continue
        points = [
            (round(10 * (right + across)), round(10 * (down - up)))
            for across, up in vertices.reshape(-1, 2).tolist()
        ]
        numbers = " ".join(f"{a - x} {b - y}" for a, b in points)
        parts.append(_CODES[code] + numbers.replace(" -", "-"))
        x, y = points[-1]
        if code == Path.MOVETO:
            start_x, start_y = x, y
    return "".join(parts)
