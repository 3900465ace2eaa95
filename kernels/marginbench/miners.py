"""Miners: from a labelled batch, the indices of the samples to train on.

Each is declared by its loss's folder and imported when it is first used.
"""

from __future__ import annotations

from typing import Any

from . import catalogue


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(catalogue.public("miners"))
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept, so that Python finds it without this function from now on.
    globals()[name] = found = catalogue.offered("miners", name)
    return found


def __dir__() -> list[str]:
    return sorted(catalogue.public("miners"))
