"""Which sizes a variant is taken at: its own where it brings some, else its family's.

A variant's own have the name of the table that they take the place of: ``"agreement"`` (ragged
ones), ``"cpu"`` and ``"cuda"`` (timed ones, the centre first), ``"small"`` (timed in a moment, on
either) or ``"auto"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marginbench.fields import Shape, sized

Shapes = Mapping[str, tuple[Shape, ...]]
TABLES = ("agreement", "cpu", "cuda", "small", "auto")


def shapes_of(variant: Any, shapes: Shapes, table: str = "") -> tuple[Shape, ...]:
    """The sizes in ``shapes``, by family, or the variant's own in place of that ``table``; with
    the sizes that it declares. The variant may be of an older tree."""
    brought: Shapes = getattr(variant, "shapes", {})
    usual = shapes[variant.family]
    # Where only the centre is asked for, only that of its own is.
    chosen = brought[table][: len(usual)] if table in brought else usual
    return tuple(dict.fromkeys(sized(variant, shape) for shape in chosen))
