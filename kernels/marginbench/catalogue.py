"""Finds the loss folders beside this file, and what they offer to users.

A folder is a loss if it declares ``LOSS`` in its ``__init__.py``. A folder that fails to import
is reported by name and never ends the run.
"""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fields import FAMILIES
from .loss import Loss
from .spelling import meant

_HERE = Path(__file__).parent
# Folders that are not losses.
_SHARED = {"shared", "__pycache__"}
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_LETTER = re.compile(r"(?![BDC]$)[A-Z][a-z]*")


class UnknownName(KeyError):
    """No loss, variant, contender or suite of that name; lists those there are and the nearest."""

    def __init__(self, argument: str, got: str, known: list[str]) -> None:
        expected = f"one of {', '.join(known)}"
        super().__init__(f"{argument}: expected {expected}; got {got!r}{meant(got, known)}")

    def __str__(self) -> str:
        return str(self.args[0])


class BrokenLoss(ImportError):
    """Folders that can't be imported; names each and why."""


@dataclass(frozen=True)
class Failure:
    """A folder that could not be imported, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} can't be imported: {self.reason}"


@functools.cache
def _discover() -> tuple[dict[str, Loss], tuple[Failure, ...]]:
    found: dict[str, Loss] = {}
    failures: list[Failure] = []
    for folder in sorted(_HERE.iterdir()):
        if folder.name in _SHARED or not (folder / "__init__.py").is_file():
            continue
        package = f"{__package__}.{folder.name}"
        try:
            loss = importlib.import_module(package).LOSS.within(package)
            _check_names(loss)
            _check_sizes(loss)
            if loss.name in found:
                raise ValueError(f"name: {loss.name!r} is declared by two folders")
            found[loss.name] = loss
        except Exception as error:
            failures.append(Failure(folder.name, f"{type(error).__name__}: {error}"))
    return found, tuple(failures)


def _check_names(loss: Loss) -> None:
    """Names are parts of a case's id and words of a command line, which records keep."""
    named = [("loss", loss.name)]
    for variant in loss.variants:
        named += [("variant", variant.name), *(("contender", c.name) for c in variant.contenders)]
    for kind, name in named:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{kind}: expected a name of letters, digits, -_.; got {name!r}")


def _check_sizes(loss: Loss) -> None:
    """Sizes are parts of a case's id, and suites choose them by the family."""
    for variant in loss.variants:
        if variant.family not in FAMILIES:
            expected = f"one of {', '.join(FAMILIES)}"
            raise ValueError(f"family: expected {expected}; got {variant.family!r}")
        for letter in variant.sizes:
            if not _LETTER.fullmatch(letter):
                expected = "a capital letter, and small ones after it, other than B, D and C"
                raise ValueError(f"sizes: expected {expected}; got {letter!r}")


def names() -> list[str]:
    """The losses that can be used, in alphabetical order."""
    return sorted(_discover()[0])


def failures() -> tuple[Failure, ...]:
    """The folders that could not be imported."""
    return _discover()[1]


def losses() -> list[Loss]:
    return [_discover()[0][name] for name in names()]


def complete() -> list[Loss]:
    """All losses, for what lists every one of them; raises BrokenLoss where one can't be imported
    and so would be left out."""
    if failures():
        raise BrokenLoss("; ".join(map(str, failures())))
    return losses()


def get(name: str) -> Loss:
    """The loss of that name; raises UnknownName, naming the nearest that exists."""
    found = _discover()[0]
    if name not in found:
        raise UnknownName("loss", name, names())
    return found[name]


def public(part: str = "") -> dict[str, tuple[Loss, str]]:
    """What all losses offer by the name in ``part``: ``""`` modules, ``"functional"`` or
    ``"miners"``; with the loss and its entry."""
    found: dict[str, tuple[Loss, str]] = {}
    for loss in losses():
        for full, entry in loss.public.items():
            where, _, name = full.rpartition(".")
            if where == part:
                found[name] = (loss, entry)
    return found


def offered(part: str, name: str) -> Any:
    """The public object of that name; AttributeError, naming the nearest, where there is none."""
    found = public(part)
    if name not in found:
        where = ".".join(filter(None, ("marginbench", part)))
        hint = meant(name, found)
        hint += "".join(f"; {one}" for one in failures())
        raise AttributeError(f"module {where!r} has no attribute {name!r}{hint}")
    loss, entry = found[name]
    return loss.resolve(entry)
