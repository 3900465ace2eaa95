"""scikit-learn's handwritten digits: on every machine, trained in seconds."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .dataset import SEEN, Dataset


@functools.cache
def digits() -> Dataset:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels, 10 identities, no download.

    Half of the identities are trained on (0 to 4) and half tested (5 to 9), as metric learning
    splits its small datasets (Song et al. 2016); every fifth image of 0 to 4 is kept out of the
    training as ``seen``. Five identities are too few for much to carry over to new ones: a network
    often separates 5 to 9 best before it is trained, so read ``test`` beside ``seen`` and beside
    the row of the untrained network. The images are in [0, 1] (the source has 0 to 16).
    """
    return _digits("digits", trained=5)


@functools.cache
def digits_closed() -> Dataset:
    """All ten digits trained, every fifth image kept out as ``seen``; no ``test``. What it shows
    is about the identities trained, nothing about new ones."""
    return _digits("digits-closed", trained=10)


def _digits(name: str, trained: int) -> Dataset:
    from sklearn.datasets import load_digits

    source = load_digits()
    images = torch.from_numpy(source.images).to(torch.float32)[:, None] / 16
    identities = torch.from_numpy(source.target).to(torch.int64)
    splits: dict[str, list[Tensor]] = {"train": [], SEEN: [], "test": []}
    for identity in range(10):
        rows = (identities == identity).nonzero()[:, 0]
        if identity >= trained:
            splits["test"].append(rows)
            continue
        kept_out = torch.arange(len(rows)) % 5 == 4
        splits["train"].append(rows[~kept_out])
        splits[SEEN].append(rows[kept_out])
    facts = {
        "source": "scikit-learn's load_digits",
        "preprocessing": "divided by 16",
        "split": f"0 to {trained - 1} trained, every fifth image of them seen, the others tested",
    }
    rows_by_split = {k: torch.cat(v) for k, v in splits.items() if v}
    return Dataset(name, images, identities, rows_by_split, facts=facts)
