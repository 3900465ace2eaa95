"""A heat map: fields of text and colour, names over its columns, and what the colours stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from .plot import Field, Panel
from .style import short


def draw(axis: Any, panel: Panel) -> None:
    axis.grid(False)
    for one in panel.fields:
        axis.add_patch(Rectangle((one.x - 0.46, one.y - 0.42), 0.92, 0.84, facecolor=one.colour,
                                 **_border(one)))  # fmt: skip
        axis.text(one.x, one.y, short(one.text), ha="center", va="center", fontsize=7,
                  color=one.ink, fontweight="bold" if one.bold else "normal")  # fmt: skip
    axis.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    for side in axis.spines.values():
        side.set_visible(False)
    for at, heading in panel.headings:
        # In points above the axes: in rows, which are tall where there are few, it would leave the
        # figure.
        axis.annotate(
            heading, (at, 1), (0, 14), ("data", "axes fraction"), "offset points", ha="center",
            va="bottom", fontsize=8, fontweight="bold",
        )  # fmt: skip


def legend(drawn: Figure, key: Sequence[Field]) -> None:
    patches = [Patch(facecolor=one.colour, label=one.text, **_border(one)) for one in key]
    drawn.legend(
        handles=patches, loc="outside lower center", ncols=len(patches), fontsize=7,
        handlelength=1.5, handleheight=1.1, handletextpad=0.4, columnspacing=1.1,
    )  # fmt: skip


def _border(one: Field) -> dict[str, Any]:
    if not one.framed:
        return {"edgecolor": "#bbbbbb", "linewidth": 0.5}
    return {"edgecolor": "#333333", "linewidth": 1.2, "linestyle": (0, (1.8, 1.2))}
