"""Finds the claims: every module of this package that declares a ``CLAIM``."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from .claim import Claim


@functools.cache
def _found() -> tuple[Claim, ...]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    modules = [
        importlib.import_module(f"{__package__}.{name}")
        for name in names
        if name not in ("__init__", "catalogue")
    ]
    found = [module.CLAIM for module in modules if hasattr(module, "CLAIM")]
    for field in ("number", "name"):
        values = [getattr(claim, field) for claim in found]
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"{field}: expected one claim each; got several of {twice[0]}")
    return tuple(sorted(found, key=lambda claim: claim.number))


def claims() -> list[Claim]:
    """All claims by their number. Raises ValueError where two share a number or a name."""
    return list(_found())


def get(name: str) -> Claim:
    """The claim of that name; raises KeyError with the names that there are."""
    for claim in _found():
        if claim.name == name:
            return claim
    known = ", ".join(claim.name for claim in _found())
    raise KeyError(f"claim: expected one of {known}; got {name!r}")
