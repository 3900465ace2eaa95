"""Offline mining: negatives from the whole training set, by the latest weights.

Online mining sees the batch alone and is part of a loss's variant. Offline (FaceNet 2015, section
3.2, names it as the alternative), the training set is embedded every so many steps, and each
anchor of the steps up to the next time gets a partner chosen among all of it.

Shapes: N training images, M of them embedded, A anchors, D dimension of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kernels.checks import InputError

from . import sampling

RULES = ("offline-hard", "offline-semi-hard")
# Of a larger training set a random part of this size is embedded and mined among, drawn anew each
# time: embedding a million images every 50 steps would be all that a training does.
MOST = 60_000
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
        count = len(self._labels_N)
        candidates = torch.arange(count)
        if count > MOST:
            candidates = torch.randperm(count, generator=self._generator)[:MOST]
            candidates = torch.cat([candidates, rows, positive]).unique()
        x_MD = embed(candidates)
        labels_M = self._labels_N[candidates].to(x_MD.device)
        size = max(1, _CHUNK // len(x_MD))
        # Each anchor's place and its positive's among what is embedded.
        places = [torch.searchsorted(candidates, of).to(x_MD.device) for of in (rows, positive)]
        found = [
            candidates[_negatives(x_MD, labels_M, at_A, near_A, self._rule).cpu()]
            for at_A, near_A in zip(*(place.split(size) for place in places), strict=True)
        ]
        return positive, torch.cat(found)


def _negatives(
    x_MD: Tensor, labels_M: Tensor, at_A: Tensor, positive_A: Tensor, rule: str
) -> Tensor:
    """For anchors and their positives (both indices into x_MD) the negative by the rule (A)."""
    anchors_AD = x_MD[at_A]
    distances_AM = (anchors_AD**2).sum(1, keepdim=True) + (x_MD**2).sum(1) - 2 * anchors_AD @ x_MD.T
    own_AM = labels_M[at_A][:, None] == labels_M
    if rule == "offline-hard":
        return distances_AM.masked_fill_(own_AM, torch.inf).argmin(1)
    to_positive_A1 = distances_AM.gather(1, positive_A[:, None])
    beyond_AM = distances_AM.masked_fill(own_AM | (distances_AM <= to_positive_A1), torch.inf)
    nearest, semi_hard_A = beyond_AM.min(1)
    farthest_A = distances_AM.masked_fill_(own_AM, -torch.inf).argmax(1)
    return torch.where(nearest < torch.inf, semi_hard_A, farthest_A)
