"""Embeds the splits that a network is tested on, and takes their metrics.

Shapes: N images of a split, D dimension of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from suites.jobs import Job, Settings
from suites.quality.protocol import protocol_text
from suites.schema import Metrics

from . import metrics
from .datasets import SEEN, Dataset
from .loader import Loader
from .objective import Objective
from .series import series
from .verification import Pairs, verification_pairs

_BATCH = 512


def chosen(labels_N: Tensor, most: int) -> Tensor:
    """The positions of at most ``most`` images, evenly over identities and always the same: every
    identity's first image, then every one's second, until ``most``; in the split's order.

    Of more identities than half of ``most``, so many are taken (evenly over their numbers): with
    one image of each there would be no pair of one identity to ask for.
    """
    if len(labels_N) <= most:
        return torch.arange(len(labels_N))
    identities, asked = int(labels_N.max()) + 1, max(1, most // 2)
    if identities > asked:
        taken = torch.arange(asked) * identities // asked
        rows = torch.isin(labels_N, taken).nonzero()[:, 0]
        return rows[chosen(torch.searchsorted(taken, labels_N[rows]), most)]
    order = torch.argsort(labels_N, stable=True)
    size = torch.bincount(labels_N)
    rank = torch.arange(len(labels_N)) - (size.cumsum(0) - size)[labels_N[order]]
    return order[torch.argsort(rank, stable=True)[:most]].sort()[0]


class EvaluationSplit:
    """A split to evaluate on: rows of the dataset, labels (numbered from 0) and the verification
    pairs that are asked of it: those given with the dataset, whose images are then all taken, else
    drawn ones."""

    def __init__(self, dataset: Dataset, split: str, most: int) -> None:
        rows, labels = dataset.rows(split), dataset.labels(split)
        given = dataset.pairs if split == "test" else None
        kept = chosen(labels, most)
        if given is not None:  # their indices count within the split
            kept = torch.cat([given.indices.flatten(), kept]).unique()
        self.rows, self.labels, self.of = rows[kept], labels[kept], len(rows)
        self.pairs_given = given is not None
        if given is None:
            self.pairs = verification_pairs(self.labels)
        else:
            self.pairs = Pairs(torch.searchsorted(kept, given.indices), given.same, given.fold)


class Evaluation:
    """Embeds and measures; in float32 whatever the training's autocast, in batches."""

    def __init__(
        self, dataset: Dataset, settings: Settings, network: nn.Module, objective: Objective,
        loader: Loader,
    ) -> None:  # fmt: skip
        self._settings, self._network, self._loader = settings, network, loader
        self._objective = objective
        self.splits = {
            name: EvaluationSplit(dataset, name, settings.evaluation_images)
            for name in ("test", SEEN)
            if name in dataset.splits
        }
        self._latest: dict[str, Tensor] = {}

    @property
    def finite(self) -> bool:
        """Whether all embeddings that the last `row` measured are finite."""
        return all(bool(torch.isfinite(x_ND).all()) for x_ND in self._latest.values())

    @torch.no_grad()
    def embed(self, rows: Tensor, *, flip: bool = False) -> Tensor:
        """Embeddings (N x D, on the CPU) of those images of the dataset; with ``flip`` the sum of
        the image's and its mirror's."""
        self._network.eval()
        found = []
        for images in self._loader.steps(rows.split(_BATCH)):
            x_BD = self._network(images)
            if flip:
                x_BD = x_BD + self._network(images.flip(-1))
            found.append(x_BD.float().cpu())
        self._network.train()
        return torch.cat(found)

    def row(self) -> Metrics:
        """The metrics on ``test``, and those on ``seen`` with that in front of their names."""
        row: Metrics = {}
        for name, split in self.splits.items():
            x_ND = self.embed(split.rows, flip=self._settings.flip)
            x_ND = self._latest[name] = self._objective.seen_by_the_loss(x_ND)
            figures = dict(metrics.evaluate(x_ND, split.labels, split.pairs))
            if name == SEEN and self._objective.classifies:
                figures |= self._head(x_ND, split.labels)
            row |= {_prefix(name) + metric: value for metric, value in figures.items()}
        return row

    def _head(self, x_ND: Tensor, labels_N: Tensor) -> Metrics:
        o = self._objective
        weights_CD = o.fields["class_weights"].detach().cpu()
        bias = None if o.bias is None else o.bias.cpu()
        return metrics.head(x_ND, labels_N, weights_CD, bias, o.norm_free)

    def series(self) -> dict[str, list[float]]:
        """What figures are drawn from, of the embeddings that the last `row` measured; they are
        taken anew where a training went on from its last epoch, after which no row came."""
        if not self._latest:
            self.row()
        return {
            _prefix(name) + what: values
            for name, x_ND in self._latest.items()
            for what, values in series(
                x_ND, self.splits[name].labels, self.splits[name].pairs
            ).items()
        }

    def protocol(self, job: Job, facts: Mapping[str, Any], steps: int) -> dict[str, str]:
        """How its numbers come about, in sentences by subject."""
        asked = self.splits.get("test") or self.splits[SEEN]
        return protocol_text(
            job, facts, tested={name: len(split.rows) for name, split in self.splits.items()},
            pairs=len(asked.pairs.same), folds=len(asked.pairs.fold.unique()),
            pairs_given=asked.pairs_given, steps=steps,
        )  # fmt: skip

    def tested(self) -> dict[str, str]:
        """How many images of each split are looked at, of how many."""
        return {
            name: f"{len(split.rows)} of {split.of}, evenly over identities"
            for name, split in self.splits.items()
        }


def _prefix(split: str) -> str:
    return "" if split == "test" else f"{split}_"
