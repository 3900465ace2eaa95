"""Labelled images, one small interface; open-set unless asked otherwise."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.checks import InputError

SEEN = "seen"


class Missing(Exception):
    """A dataset that is not on this machine, and what to install."""


@dataclass(frozen=True)
class Dataset:
    """Images (N x channels x height x width, float32 in [0, 1]), identities (N, int64 >= 0) and
    ``splits``: image indices by name, ``train`` and ``test`` at least.

    Open-set: no identity is in two splits, so that those tested were never trained on. The split
    ``seen`` alone may share identities with ``train``: other images of them, which show what was
    learnt of the identities themselves. No image is in two splits. All of it is checked here,
    whoever made the splits: InputError says which image or identity is in two.
    """

    name: str
    images: Tensor
    identities: Tensor
    splits: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        count = self.images.shape[0]
        if self.images.ndim != 4 or self.images.dtype != torch.float32:
            got = f"shape {tuple(self.images.shape)}, {self.images.dtype}"
            raise InputError("images", "N x channels x height x width in float32", got)
        if self.identities.shape != (count,) or self.identities.dtype != torch.int64:
            got = f"shape {tuple(self.identities.shape)}, {self.identities.dtype}"
            raise InputError("identities", f"shape ({count},) in int64", got)
        missing = {"train", "test"} - set(self.splits)
        if missing:
            raise InputError("splits", "train and test", f"none named {', '.join(sorted(missing))}")
        _check_disjoint("image", dict(self.splits))
        taken = {name: self.identities[rows] for name, rows in self.splits.items()}
        taken.pop(SEEN, None)
        _check_disjoint("identity", taken)

    def validation(self) -> Dataset:
        raise NotImplementedError("comes with the package of datasets")

    def rows(self, split: str) -> Tensor:
        return self.splits[split]

    def labels(self, split: str) -> Tensor:
        return self.split(split)[1]

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """The images of a split and their labels, numbered from 0 in the identities' order."""
        if name not in self.splits:
            raise InputError("split", f"one of {', '.join(self.splits)}", repr(name))
        rows = self.splits[name]
        labels = torch.unique(self.identities[rows], return_inverse=True)[1]
        return self.images[rows], labels

    @functools.cached_property
    def manifest(self) -> str:
        """SHA-256 over every array, so that two results are known to rest on the same data."""
        digest = hashlib.sha256()
        arrays = {"images": self.images, "identities": self.identities, **self.splits}
        for name, array in arrays.items():
            digest.update(f"{name} {tuple(array.shape)} {array.dtype}\n".encode())
            digest.update(array.numpy().tobytes())
        return digest.hexdigest()


def _check_disjoint(what: str, members: dict[str, Tensor]) -> None:
    seen: dict[int, str] = {}
    for name, values in members.items():
        for value in torch.unique(values).tolist():
            if value in seen:
                got = f"{what} {value} in both {seen[value]} and {name}"
                raise InputError("splits", f"no {what} in two splits", got)
            seen[value] = name


@functools.cache
def digits() -> Dataset:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels, 10 identities, no download.

    Half of the identities are trained on (0 to 4) and half tested (5 to 9), as metric learning
    splits its small datasets (Song et al. 2016); every fifth image of 0 to 4 is kept out of the
    training as ``seen``. Five identities are too few for much to carry over to new ones: a network
    often separates 5 to 9 best before it is trained, so read ``test`` beside ``seen`` and beside
    the row of the untrained network. The images are in [0, 1] (the source has 0 to 16).
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    images = torch.from_numpy(source.images).to(torch.float32)[:, None] / 16
    identities = torch.from_numpy(source.target).to(torch.int64)
    splits: dict[str, list[Tensor]] = {"train": [], SEEN: [], "test": []}
    for identity in range(10):
        rows = (identities == identity).nonzero()[:, 0]
        if identity >= 5:
            splits["test"].append(rows)
            continue
        kept_out = torch.arange(len(rows)) % 5 == 4
        splits["train"].append(rows[~kept_out])
        splits[SEEN].append(rows[kept_out])
    return Dataset("digits", images, identities, {k: torch.cat(v) for k, v in splits.items()})


DATASETS = {"digits": digits}


def load(name: str) -> Dataset:
    return DATASETS[name]()
