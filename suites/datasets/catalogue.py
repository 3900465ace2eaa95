"""Finds the datasets: every module of this package that declares ``DATASETS``."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from pathlib import Path

from .declaration import Declaration


@functools.cache
def datasets() -> Mapping[str, Declaration]:
    """All by name, those at a path last. Raises ValueError where two share a name."""
    found: list[Declaration] = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in ("__init__", "catalogue"):
            module = importlib.import_module(f"{__package__}.{path.stem}")
            found += getattr(module, "DATASETS", ())
    by_name = {one.name: one for one in sorted(found, key=lambda one: one.at_path)}
    if len(by_name) < len(found):
        names = [one.name for one in found]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"name: expected one dataset each; got several of {twice[0]}")
    return by_name


def find(dataset: str) -> Declaration | None:
    """The one that a training names, maybe with a path; None for a name that there is not."""
    kind, _, path = dataset.partition(":")
    found = datasets().get(kind)
    return found if found and found.at_path == bool(path) else None
