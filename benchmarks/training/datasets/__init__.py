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

from collections.abc import Callable, Mapping
from typing import Any

from marginbench.checks import check_choice

from ..notices import warn_once
from . import fashion, folder, glyphs, lfw
from .dataset import SEEN, Dataset, Missing
from .embedded import digits, digits_closed
from .images import DataError, FileImages, Images, Undecodable

__all__ = [
    "DATASETS",
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

DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "digits-closed": digits_closed,
    "fashion": fashion.fashion,
    "fashion-closed": fashion.fashion_closed,
    "glyphs": glyphs.glyphs,
    "glyphs-large": glyphs.glyphs_large,
}
# What loads each kind, and the options that its address may have.
_AT_A_PATH: dict[str, tuple[Callable[[str], Dataset], tuple[str, ...]]] = {
    "folder": (folder.folder, folder.OPTIONS),
    "lfw": (lfw.lfw, lfw.OPTIONS),
}


def load(name: str) -> Dataset:
    """The dataset of that name; what of a path's files is left out is logged as a warning, once.

    Raises InputError for an unknown name, `Missing` for one whose files, fonts or packages are not
    on this machine, `DataError` for files that are damaged or too few."""
    kind, colon, address = name.partition(":")
    if colon and kind in _AT_A_PATH:
        found = _AT_A_PATH[kind][0](address)
        _warn_of(name, found.facts["skipped"])
        return found
    check_choice("dataset", name, (*DATASETS, *(f"{kind}:/path" for kind in _AT_A_PATH)))
    return DATASETS[name]()


def check_options(name: str) -> None:
    """Raises DataError for an option of a path's dataset that there is not, or that has no such
    value; opens no file."""
    kind, _, address = name.partition(":")
    if kind in _AT_A_PATH:
        folder.Address.parse(address, _AT_A_PATH[kind][1])


def _warn_of(name: str, skipped: Mapping[str, Mapping[str, Any]]) -> None:
    for reason, of in skipped.items():
        first = ", ".join(of["first"])
        more = ", ..." if of["count"] > len(of["first"]) else ""
        warn_once(f"{name}: left out: {reason}: {of['count']:,} ({first}{more})")
