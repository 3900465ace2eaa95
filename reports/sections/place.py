"""Where a section stands."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..document import Section

Of = Literal["machine", "loss", "report"]


@dataclass(frozen=True)
class Place:
    """``order``: among the sections of a run's report; ``section``: makes it, or several, of the
    page's context; ``of``: the page of the site that it stands on, "report" where on none;
    ``weight``: how long it takes against the others, for the time that is left."""

    order: int
    section: Callable[[Any], Section | Sequence[Section]]
    of: Of = "report"
    weight: int = 0

    def made(self, context: object) -> list[Section]:
        found = self.section(context)
        return [found] if isinstance(found, Section) else list(found)


def places_in(package: str, folders: Iterable[str]) -> tuple[Place, ...]:
    """Those in ``PLACES`` of the package's modules, in the order in which they stand."""
    modules = [importlib.import_module(f"{package}.{one.name}")
               for one in pkgutil.iter_modules(folders)]  # fmt: skip
    found = [place for module in modules for place in getattr(module, "PLACES", ())]
    return tuple(sorted(found, key=lambda place: place.order))
