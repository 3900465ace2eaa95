"""The sections of a report, one file each, in the order in which they stand on the page.

A section is a function from the `Context` to a `document.Section`; pages and Markdown draw it. A
run's report has them all; on the site each stands on the page of the machine or of the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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

Of = Literal["machine", "loss", "report"]


@dataclass(frozen=True)
class _Entry:
    """``of``: the page of the site that it stands on, "report" where on none; ``weight``: how long
    it takes against the others, for the time that is left."""

    section: Callable[[Context], Section]
    of: Of
    weight: int = 0


_SECTIONS = (
    _Entry(answer.section, "loss", 4),
    _Entry(scaling.speed, "loss", 8),
    _Entry(scaling.memory, "loss", 10),
    _Entry(targets.section, "machine"),
    _Entry(agreement.section, "loss", 5),
    _Entry(mining.section, "loss"),
    _Entry(real.section, "loss"),
    _Entry(training.section, "machine", 2),
    _Entry(missing.section, "loss"),
    _Entry(provenance.section, "machine"),
    _Entry(losses.section, "report", 5),
)


def all_sections(
    context: Context, report: Callable[[float, float, str], None] = lambda *_: None
) -> list[Section]:
    """Every section, also those that have nothing to show: they say so. ``report(share, 1, what)``
    is called before each."""
    found: list[Section] = []
    done, total = 0, sum(one.weight for one in _SECTIONS)
    for one in _SECTIONS:
        what = one.section.__module__.rpartition(".")[2]
        report(done / total, 1, f"drawing {what}")
        found.append(one.section(context))
        done += one.weight
    return found


def sections_of(page: Of, context: Context) -> list[Section]:
    """Those that stand on this page of the site."""
    return [one.section(context) for one in _SECTIONS if one.of == page]
