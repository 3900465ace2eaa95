"""What a cell's text is worth when a table is sorted, so that 900 µs stands before 1.2 ms."""

from __future__ import annotations

import re

_FACTORS = {
    "": 1.0, "%": 0.01, "×": 1.0, "x": 1.0, "°": 1.0,
    "ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0,
    "B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
    "kB": 1e3, "MB": 1e6, "GB": 1e9, "k": 1e3, "M": 1e6, "G": 1e9,
}  # fmt: skip
# A figure, its unit, and then only what says how sure or whose it is. "3 of 9" and "3 to 9" begin
# with a figure too: a column holds them beside a lone 9, and they would come last.
_FIGURE = re.compile(
    r"(?:about |≤ |< |> |≥ |~ )?([-−+]?(?:\d[\d,]*)?\.?\d+(?:e[-+]?\d+)?)"
    r" ?((?!of |to )[A-Za-zµ%×°]*)(?P<rest>$| .*|[,;(\[].*)",
    re.DOTALL,
)
_PLAIN = re.compile(r"[-+]?(?:\d[\d,]*)?\.?\d+(?:e[-+]?\d+)?")


def key(text: str) -> float | None:
    """The figure that a text begins with, in its base unit; None where it begins with none.

    ``1.8× slower`` is 1/1.8, so that slower and faster stand on one scale.
    """
    found = _FIGURE.fullmatch(text.strip())
    if found is None or found[2] not in _FACTORS:
        return None
    try:
        value = float(found[1].replace(",", "").replace("−", "-")) * _FACTORS[found[2]]
    except ValueError:
        return None
    if found["rest"].startswith((" slower", " smaller", " less")) and value:
        return 1 / value
    return value


def attribute(text: str) -> str:
    """What a page has to say beside a text; empty where the text says it itself, or nothing."""
    if _PLAIN.fullmatch(text.strip()):
        return ""
    value = key(text)
    return "" if value is None else f"{value:.6g}"
