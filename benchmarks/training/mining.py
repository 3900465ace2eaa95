"""Offline mining: negatives from the whole training set, by the latest weights.

Online mining sees the batch alone and is part of a loss's variant. Offline (FaceNet 2015, section
3.2, names it as the alternative), the training set is embedded every so many steps, and each
anchor of the steps up to the next time gets a partner chosen among all of it.

Shapes: N training images, M of them embedded, P of them searched for negatives, A anchors, D
dimension of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from marginbench.checks import InputError
from marginbench.shared.distances import points, squared_distances
from marginbench.shared.exact import Exact
from marginbench.triplet.beyond import nearest_beyond

from . import sampling

RULES = ("offline-hard", "offline-semi-hard")
# Of a larger training set negatives are searched in a random part of this size, drawn anew each
# time: comparing each anchor with a million images every 50 steps would be all a training does.
MOST = 10_000
_CHUNK = 1 << 24  # distances held at once


class OfflineMiner:
    """``mine(embed, rows)`` gives each of ``rows`` (A training images) another image of its
    identity, drawn at random, and one of another identity by the rule: ``offline-hard`` the
    nearest, ``offline-semi-hard`` the nearest of those farther than the drawn positive, else the
    farthest (as the catalogue's semi-hard variant). Distances are Euclidean, on embeddings as
    ``embed`` gives them for training images, equal where they are so in float64; of equal
    candidates the first in the training set is taken.
    """

    def __init__(self, labels_N: Tensor, rule: str, generator: torch.Generator) -> None:
        if rule not in RULES:
            raise InputError("partners", f"random, {', '.join(RULES)}", repr(rule))
        self._labels_N, self._rule, self._generator = labels_N, rule, generator

    @torch.no_grad()
    def mine(self, embed: Callable[[Tensor], Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        """(A) and (A), both indices into the training images."""
        positive = sampling.partners(self._labels_N, rows, self._generator)[0]
        pool = torch.arange(len(self._labels_N))
        if len(pool) > MOST:
            pool = torch.randperm(len(pool), generator=self._generator)[:MOST].sort()[0]
        embedded = torch.cat([pool, rows, positive]).unique()
        x_MD = embed(embedded)
        at_A, near_A, pool_P = (
            torch.searchsorted(embedded, of).to(x_MD.device) for of in (rows, positive, pool)
        )
        x_PD, labels_P = x_MD[pool_P], self._labels_N[pool].to(x_MD.device)
        labels_A = self._labels_N[rows].to(x_MD.device)
        size = max(1, _CHUNK // len(pool))
        parts = zip(*(of.split(size) for of in (at_A, near_A, labels_A)), strict=True)
        found = [
            pool[_negatives(x_MD[at], x_MD[near], labels, x_PD, labels_P, self._rule).cpu()]
            for at, near, labels in parts
        ]
        return positive, torch.cat(found)


def _negatives(
    anchors_AD: Tensor, positives_AD: Tensor, labels_A: Tensor, x_PD: Tensor, labels_P: Tensor,
    rule: str,
) -> Tensor:  # fmt: skip
    """For anchors and their positives the place of the negative by the rule among x_PD (A)."""
    # One arithmetic for all that is compared: the positives are among the columns, first.
    count = len(anchors_AD)
    rows, columns = slice(0, count), slice(count, 2 * count + len(x_PD))
    these = points(torch.cat([anchors_AD, positives_AD, x_PD]), rows=count, columns=columns)
    exact = Exact(these, rows)
    own_AP = labels_A[:, None] == labels_P
    d_AC = squared_distances(these, rows)[0]
    to_positive_A1 = d_AC[:, :count].diagonal()[:, None].clone()
    d_AC[:, :count] = torch.inf
    d_AC[:, count:].masked_fill_(own_AP, torch.inf)
    if rule == "offline-hard":
        return exact.lowest(d_AC) - count
    positive_A1 = torch.arange(count, 2 * count, device=d_AC.device)[:, None]
    some_A1 = ~own_AP.all(dim=1, keepdim=True)
    return nearest_beyond(to_positive_A1, d_AC, some_A1, positive_A1, exact)[:, 0] - count
