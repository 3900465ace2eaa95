"""How the lines of a claim's figure look, and where their names stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suites.claims.claim import Panel

from ..style import Look, Looks
from .looks import look, name

# Inches that a letter of the legend takes, and all of an entry beside its text.
_LETTER, _ENTRY = 0.062, 0.5
_MOST_COLUMNS = 4


def looks_of(labels: Sequence[str], looks: Looks | None) -> dict[str, Look]:
    """A loss looks as it does on the whole page; other labels have looks that none of them has."""
    found: dict[str, Look] = {}
    for label in labels if looks else ():
        assert looks is not None
        losses = [key for key in looks.order if label in (key, key.partition("/")[0])]
        if len(losses) == 1:
            found[label] = looks[losses[0]]
    taken = {one.colour for one in found.values()}
    free = [one for one in map(look, range(9 * len(labels) + 9)) if one.colour not in taken]
    spare = iter(free or map(look, range(len(labels))))
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
                     ncols=columns(list(shown), width))  # fmt: skip


def columns(labels: Sequence[str], width: float) -> int:
    """That many entries stand side by side in so many inches."""
    entry = _ENTRY + _LETTER * max(map(len, labels))
    return max(1, min(_MOST_COLUMNS, len(labels), int(width / entry)))
