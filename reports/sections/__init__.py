"""The sections of a report, one file each, in the order in which they stand on the page.

A section is a function from the `Context` to a `document.Section`; pages and Markdown draw it.
"""

from __future__ import annotations

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


def all_sections(context: Context) -> list[Section]:
    """Every section, also those that have nothing to show: they say so."""
    return [
        answer.section(context),
        scaling.speed(context),
        scaling.memory(context),
        targets.section(context),
        agreement.section(context),
        mining.section(context),
        real.section(context),
        training.section(context),
        missing.section(context),
        provenance.section(context),
        losses.section(context),
    ]
