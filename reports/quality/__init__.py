"""Which loss trains the better network: the page of a training-quality run, from its records."""

from __future__ import annotations

from ..sections.place import Place, places_in


def places() -> tuple[Place, ...]:
    """The sections of a run's page, in their order: each file declares its own in ``PLACES``."""
    return places_in(__name__, __path__)
