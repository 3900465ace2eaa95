"""Labelled images by name, one small interface; open-set unless the name says ``closed``.

    load("digits")                    scikit-learn's, embedded; "digits-closed" trains all ten
    load("fashion")                   Fashion-MNIST; "fashion-closed" trains all ten
    load("glyphs")                    2,000 characters x 20 typefaces; "glyphs-large" 10,000 x 40
    load("folder:/faces?size=112x96&grey=1")
    load("lfw:/lfw?train=/faces")     a folder with pairs.txt, given pairs and folds

What is not on this machine raises `Missing`, whose text says how to get it.
"""

from __future__ import annotations

from collections.abc import Callable

from kernels.checks import InputError

from . import fashion, folder, glyphs, lfw
from .dataset import SEEN, Dataset, Missing
from .embedded import digits, digits_closed
from .images import Images

__all__ = ["DATASETS", "SEEN", "Dataset", "Images", "Missing", "digits", "load"]

DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "digits-closed": digits_closed,
    "fashion": fashion.fashion,
    "fashion-closed": fashion.fashion_closed,
    "glyphs": glyphs.glyphs,
    "glyphs-large": glyphs.glyphs_large,
}
_AT_A_PATH: dict[str, Callable[[str], Dataset]] = {"folder": folder.folder, "lfw": lfw.lfw}


def load(name: str) -> Dataset:
    """The dataset of that name; raises InputError for an unknown name, `Missing` for one whose
    files, fonts or packages are not on this machine."""
    kind, colon, address = name.partition(":")
    if colon and kind in _AT_A_PATH:
        return _AT_A_PATH[kind](address)
    if name not in DATASETS:
        known = [*DATASETS, *(f"{kind}:/path" for kind in _AT_A_PATH)]
        raise InputError("dataset", f"one of {', '.join(known)}", repr(name))
    return DATASETS[name]()
