"""Labelled images by name, one small interface; open-set unless the name says ``closed``.

    load("digits")                    scikit-learn's, embedded; "digits-closed" trains all ten
    load("fashion")                   Fashion-MNIST; "fashion-closed" trains all ten
    load("glyphs")                    2,000 characters x 20 typefaces; "glyphs-large" 10,000 x 40
    load("folder:/faces?size=112x96&grey=1")
    load("lfw:/lfw?train=/faces")     a folder with pairs.txt, given pairs and folds

What is not on this machine raises `Missing`, whose text says how to get it; files that are damaged
or too few raise `DataError`, whose text says which.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

from marginbench.checks import check_choice
from suites.datasets import catalogue

from ...notices import warn_once
from . import folder
from .dataset import SEEN, Dataset, Missing
from .embedded import digits
from .images import DataError, FileImages, Images, Undecodable

__all__ = [
    "SEEN",
    "DataError",
    "Dataset",
    "FileImages",
    "Images",
    "Missing",
    "Undecodable",
    "check_options",
    "digits",
    "load",
]


def load(name: str) -> Dataset:
    """The dataset of that name; what of a path's files is left out is logged as a warning, once.

    Raises InputError for an unknown name, `Missing` for one whose files, fonts or packages are not
    on this machine, `DataError` for files that are damaged or too few."""
    declared = catalogue.find(name)
    if declared is None:
        check_choice("dataset", name, [one.written for one in catalogue.datasets().values()])
        raise AssertionError(name)
    loader = pkgutil.resolve_name(declared.loader)
    if not declared.at_path:
        return _made(name, loader())
    found = _made(name, loader(name.partition(":")[2]))
    _warn_of(name, found.facts.get("skipped", {}))
    return found


def _made(name: str, loaded: Dataset | Mapping[str, Any]) -> Dataset:
    return loaded if isinstance(loaded, Dataset) else Dataset(name, **loaded)


def check_options(name: str) -> None:
    """Raises DataError for an option of a path's dataset that there is not, or that has no such
    value; opens no file."""
    declared = catalogue.find(name)
    if declared and declared.at_path:
        folder.Address.parse(name.partition(":")[2], declared.options)


def _warn_of(name: str, skipped: Mapping[str, Mapping[str, Any]]) -> None:
    for reason, of in skipped.items():
        first = ", ".join(of["first"])
        more = ", ..." if of["count"] > len(of["first"]) else ""
        warn_once(f"{name}: left out: {reason}: {of['count']:,} ({first}{more})")
