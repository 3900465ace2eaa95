"""The sections of a report, one file each, found in this folder.

A section is a function from the `Context` to a `document.Section`; pages and Markdown draw it. Its
file declares in ``PLACES`` where it stands. A run's report has them all; on the site each stands
on the page of the machine or of the loss.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from ..document import Section
from .context import Context
from .place import Of, Place, places_in


@functools.cache
def places() -> tuple[Place, ...]:
    """In the order in which they stand on the page."""
    return places_in(__name__, __path__)


def all_sections(
    context: Context, report: Callable[[float, float, str], None] = lambda *_: None
) -> list[Section]:
    """Every section, also those that have nothing to show: they say so. ``report(share, 1, what)``
    is called before each."""
    found: list[Section] = []
    done, total = 0, sum(place.weight for place in places())
    for place in places():
        what = place.section.__module__.rpartition(".")[2]
        report(done / total, 1, f"drawing {what}")
        found += place.made(context)
        done += place.weight
    return found


def sections_of(page: Of, context: Context) -> list[Section]:
    """Those that stand on this page of the site."""
    return [one for place in places() if place.of == page for one in place.made(context)]
