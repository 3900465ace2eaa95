"""The contrastive loss by pytorch-metric-learning, made to compute the paper's function.

Its ContrastiveLoss gives max(0, D) for pairs of one identity and max(0, margin - D) for different
ones. A reducer, its extension point for what becomes of such terms, squares and halves them.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from ..shared.reduction import reduce


@functools.cache
def _loss(margin: float) -> Any:
    from pytorch_metric_learning import distances, losses, reducers

    return losses.ContrastiveLoss(
        pos_margin=0,
        neg_margin=margin,
        distance=distances.LpDistance(normalize_embeddings=False, p=2, power=1),
        reducer=reducers.DoNothingReducer(),
    )


def _halved_squares(found: dict[str, Any], embeddings: Tensor) -> Tensor:
    """The terms by the row that each pair starts at (B), from the library's unreduced result."""
    terms_B = embeddings.sum(dim=1) * 0
    for part in found.values():
        if isinstance(part["losses"], Tensor):
            terms_B = terms_B.index_add(0, part["indices"][0], part["losses"].square() / 2)
    return terms_B


def pairs(
    embeddings_a: Tensor,
    embeddings_b: Tensor,
    different: Tensor,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """As `reference.pairs`, by way of the N x N distances that the library takes its pairs from."""
    same = torch.nonzero(~different)[:, 0]
    other = torch.nonzero(different)[:, 0]
    found = _loss(margin)(
        embeddings_a, indices_tuple=(same, same, other, other), ref_emb=embeddings_b
    )
    return reduce(_halved_squares(found, embeddings_a), reduction)


def all_pairs(
    embeddings: Tensor, labels: Tensor, *, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """As `reference.all_pairs`: the library goes through each pair in both orders."""
    count = len(embeddings)
    terms_B = _halved_squares(_loss(margin)(embeddings, labels), embeddings) / 2
    return reduce(terms_B, reduction, divisor=count * (count - 1) // 2)
