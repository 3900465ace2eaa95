"""Where a section stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..document import Section
from .context import Context

Of = Literal["machine", "loss", "report"]


@dataclass(frozen=True)
class Place:
    """``order``: among the sections of a run's report; ``of``: the page of the site that it stands
    on, "report" where on none; ``weight``: how long it takes against the others, for the time that
    is left."""

    order: int
    section: Callable[[Context], Section]
    of: Of
    weight: int = 0
