"""Losses as functions: class weights and centers are arguments.

Each is declared by its loss's folder and imported when it is first used.
"""

from __future__ import annotations

from typing import Any

from . import catalogue


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(catalogue.public("functional"))
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept, so that Python finds it without this function from now on.
    globals()[name] = found = catalogue.offered("functional", name)
    return found


def __dir__() -> list[str]:
    return sorted(catalogue.public("functional"))
