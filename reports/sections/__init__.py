"""The sections of a report, one file each, in the order in which they stand on the page.

A section is a function from the `Context` to a `document.Section`; pages and Markdown draw it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..document import Section
from . import (
    agreement,
    answer,
    losses,
    mining,
    missing,
    provenance,
    real,
    scaling,
    targets,
    training,
)
from .context import Context

# Each with how long it takes against the others, for the time that is left.
_SECTIONS: tuple[tuple[Callable[[Context], Section], int], ...] = (
    (answer.section, 4),
    (scaling.speed, 8),
    (scaling.memory, 10),
    (targets.section, 0),
    (agreement.section, 5),
    (mining.section, 0),
    (real.section, 0),
    (training.section, 2),
    (missing.section, 0),
    (provenance.section, 0),
    (losses.section, 5),
)


def all_sections(
    context: Context, report: Callable[[float, float, str], None] = lambda *_: None
) -> list[Section]:
    """Every section, also those that have nothing to show: they say so. ``report(share, 1, what)``
    is called before each."""
    found: list[Section] = []
    done, total = 0, sum(weight for _, weight in _SECTIONS)
    for section, weight in _SECTIONS:
        report(done / total, 1, f"drawing {section.__module__.rpartition('.')[2]}")
        found.append(section(context))
        done += weight
    return found
