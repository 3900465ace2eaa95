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

from kernels.checks import InputError

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
    ``embed`` gives them for training images; of equal candidates one is taken, always the same.
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
    distances_AP = torch.addmm((x_PD**2).sum(1), anchors_AD, x_PD.T, alpha=-2)
    distances_AP += (anchors_AD**2).sum(1, keepdim=True)
    own_AP = labels_A[:, None] == labels_P
    if rule == "offline-hard":
        return distances_AP.masked_fill_(own_AP, torch.inf).argmin(1)
    to_positive_A1 = ((anchors_AD - positives_AD) ** 2).sum(1, keepdim=True)
    beyond_AP = distances_AP.masked_fill(own_AP | (distances_AP <= to_positive_A1), torch.inf)
    nearest, semi_hard_A = beyond_AP.min(1)
    farthest_A = distances_AP.masked_fill_(own_AP, -torch.inf).argmax(1)
    return torch.where(nearest < torch.inf, semi_hard_A, farthest_A)
