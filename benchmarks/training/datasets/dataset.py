"""A dataset: images, whose they are, and which of them are trained on and tested."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from marginbench.checks import InputError, check_choice

from ..metrics import Pairs
from .images import DataError, Images, fingerprint

SEEN = "seen"
VALIDATION = "validation: of the training identities in order, the 2nd, 5th, 8th ... are tested"
# Longer texts and lists are recorded as their length and hash.
_LONG = 1_000
# Facts: how identities are distinguished, and what else of train and test was checked for overlap.
DISTINGUISHED, ALSO_CHECKED = "identities are distinguished", "also checked"
_QUOTED = ("split", "preprocessing", DISTINGUISHED, ALSO_CHECKED)


class Missing(Exception):
    """A dataset that is not on this machine; its text says what to install or to set."""


@dataclass(frozen=True)
class Dataset:
    """Images (a source of N x channels x height x width, see `Images`), identities (N, int64 >= 0)
    and ``splits``: image indices by name. ``train``, and at least one of ``test`` (identities
    never trained on) and ``seen`` (other images of trained identities).

    Open-set: no identity is in two splits, so that those tested were never trained on; ``seen``
    alone may share identities with ``train``. No image is in two splits. All of it is checked
    here, whoever made the splits: InputError says which image or identity is in two.

    ``pairs`` are given verification pairs (their indices count within ``test``), else None: drawn
    by whoever evaluates. ``facts`` are plain values for the record: counts, skips with reasons,
    sources and preprocessing.
    """

    name: str
    images: Images
    identities: Tensor
    splits: Mapping[str, Tensor]
    pairs: Pairs | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        dtype = getattr(self.images, "dtype", torch.float32)
        if len(shape) != 4 or dtype != torch.float32:
            expected = "N x channels x height x width in float32"
            raise InputError("images", expected, f"shape {shape}, {dtype}")
        if self.identities.shape != (shape[0],) or self.identities.dtype != torch.int64:
            got = f"shape {tuple(self.identities.shape)}, {self.identities.dtype}"
            raise InputError("identities", f"shape ({shape[0]},) in int64", got)
        if "train" not in self.splits or not {"test", SEEN} & set(self.splits):
            got = ", ".join(sorted(self.splits)) or "none"
            raise InputError("splits", f"train, and test or {SEEN}", got)
        _check_disjoint("image", dict(self.splits))
        taken = {name: self.identities[rows] for name, rows in self.splits.items()}
        if SEEN in taken:
            strangers = set(taken.pop(SEEN).tolist()) - set(taken["train"].tolist())
            if strangers:
                got = f"identity {min(strangers)}, which is not"
                raise InputError("splits", f"identities in {SEEN} that are trained on", got)
        _check_disjoint("identity", taken)
        if self.pairs is not None and "test" not in self.splits:
            raise InputError("pairs", "a split test, which they index", "none")

    def rows(self, split: str) -> Tensor:
        """The indices (n, int64) of a split's images in ``images`` and ``identities``."""
        check_choice("split", split, self.splits)
        return self.splits[split]

    def labels(self, split: str) -> Tensor:
        """The labels (n, int64) of a split's images, numbered from 0 in the identities' order.

        Those of ``seen`` are numbered as ``train`` numbers them, also where some identity has no
        image in it, so that they name the rows of a trained head.
        """
        identities = self.identities[self.rows(split)]
        if split == SEEN:
            return torch.searchsorted(torch.unique(self.identities[self.rows("train")]), identities)
        return torch.unique(identities, return_inverse=True)[1]

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """All images of a split at once, and their labels: for what fits in memory."""
        return self.images[self.rows(name)], self.labels(name)

    def validation(self) -> Dataset:
        """Trains on about two thirds of the training identities and tests on the others, so that
        a search sees neither ``test`` nor ``seen``.

        The rule is fixed: of the training identities in order, the second and every third after
        it are tested. Raises `DataError` for fewer than five, which leave one to test.
        """
        trained = torch.unique(self.identities[self.rows("train")])
        if len(trained) < 5:
            expected = "at least 5 training identities to set some apart for validation"
            raise DataError("dataset", expected, len(trained))
        # What of train and test was checked is not of the two parts that are made here.
        facts = {name: value for name, value in self.facts.items() if name != ALSO_CHECKED}
        held = torch.isin(self.identities[self.rows("train")], trained[1::3])
        rows = self.rows("train")
        return Dataset(
            f"{self.name}/validation",
            self.images,
            self.identities,
            {"train": rows[~held], "test": rows[held]},
            facts={**facts, "split": f"{self.facts.get('split', self.name)}; {VALIDATION}"},
        )

    @property
    def summary(self) -> dict[str, Any]:
        """The facts as a record holds them, once a training: what is long (each font's hash, every
        character) by its count and SHA-256; without what its protocol quotes."""
        return {name: _short(value) for name, value in self.facts.items() if name not in _QUOTED}

    @functools.cached_property
    def manifest(self) -> str:
        """SHA-256 over images, identities, splits and pairs, so that two results are known to
        rest on the same data. Of streamed files, names and sizes stand for the pixels."""
        digest = hashlib.sha256(f"images {fingerprint(self.images)}\n".encode())
        arrays = {"identities": self.identities, **self.splits}
        if self.pairs is not None:
            arrays |= {f"pairs {name}": value for name, value in vars(self.pairs).items()}
        for name, array in arrays.items():
            digest.update(f"{name} {tuple(array.shape)} {array.dtype}\n".encode())
            digest.update(array.numpy().tobytes())
        return digest.hexdigest()


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short(inner) for name, inner in value.items()}
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str | list | tuple) or len(text) <= _LONG:
        return value
    return {"count": len(value), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _check_disjoint(what: str, members: dict[str, Tensor]) -> None:
    names = list(members)
    for later, name in enumerate(names):
        values = torch.unique(members[name])
        for other in names[:later]:
            both = values[torch.isin(values, members[other])]
            if len(both):
                got = f"{what} {int(both[0])} in both {other} and {name}"
                raise InputError("splits", f"no {what} in two splits", got)
