"""What matplotlib wrote, made into one small <svg> element of a page."""

from __future__ import annotations

import re
from html import escape

from . import picking
from .style import plain

_NUMBERS = re.compile(r'(?<= )(d|x|y|points)="([^"]*)"')
_LONG = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_GROUP = re.compile(r"<g(?: [^>]*)?(?<!/)>|</g>")
_STROKE = re.compile(r"M ([-\d.]+) ([-\d.]+) L ([-\d.]+) ([-\d.]+)")
# Markers of a line say their style once, in a group of their own.
_MARKERS = re.compile(r'(?:<use [^>]*?( style="[^"]*")/>)(?:<use [^>]*?\1/>){2,}')
_PATH = re.compile(r'(?<= d=")(?:M [-\d.]+ [-\d.]+ L [-\d.]+ [-\d.]+ ?){4,}(?=")')
# Said once, of the whole figure.
_FONT = re.compile(r"font-family: 'DejaVu Sans'(?:; )?")
# What matplotlib writes and a page has no use for: prolog, metadata, a style sheet that would
# reach the whole page, ids of groups, rotations by nothing, indentation.
_NEEDLESS = re.compile(
    r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>"
    r'|(?<=<g) id="[^"]*"| transform="rotate\(-?0 [^"]*\)"| xmlns:xlink="[^"]*"|xlink:(?=href)',
    re.DOTALL,
)


def finished(text: str, name: str, title: str, alt: str) -> str:
    """One <svg> element for a page: ids that begin with ``name``, a title and a description for
    readers of the screen, coordinates to a hundredth of a point, strokes of clouds to a tenth."""
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
    whole = f"{head} {label} {shape}>{inside}{rest.strip()}"
    whole = _PATH.sub(
        lambda path: _STROKE.sub(_relative, path[0]).replace(" M", "M").strip(), whole
    )
    return _MARKERS.sub(lambda run: f"<g{run[1]}>{run[0].replace(run[1], '')}</g>", whole)


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
