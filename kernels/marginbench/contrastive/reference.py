"""The definition of the contrastive loss, in float64: Hadsell, Chopra, LeCun 2006, equation 4.

a, b and x embeddings (N x D and B x D), Y different (N, bool), y labels (B).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..shared.reduction import reduce


def _terms(difference_ND: Tensor, different_N: Tensor, margin: float) -> Tensor:
    """(1-Y)/2 D^2 + Y/2 max(0, margin - D)^2, D the length of each row of the difference."""
    squared_N = difference_ND.square().sum(dim=1)
    # The square root has no derivative at 0: where D = 0 it is kept out of the graph, so that a
    # different pair at one point has the loss margin^2/2 and the sub-gradient 0.
    apart_N = squared_N > 0
    distance_N = torch.where(apart_N, torch.where(apart_N, squared_N, 1.0).sqrt(), 0.0)
    pushed_N = (margin - distance_N).clamp(min=0).square()
    return torch.where(different_N, pushed_N, squared_N) / 2


def pairs(
    embeddings_a: Tensor,
    embeddings_b: Tensor,
    different: Tensor,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """The pair loss of each row; ``different`` is the paper's Y; mean divides by N."""
    difference_ND = embeddings_a.double() - embeddings_b.double()
    return reduce(_terms(difference_ND, different, margin), reduction)


def all_pairs(
    embeddings: Tensor, labels: Tensor, *, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """l_i = half the sum over j of the loss of the pair (i, j); mean divides by B(B-1)/2."""
    x_BD = embeddings.double().contiguous()

    def term(i: int, x_BD: Tensor) -> Tensor:
        # The pair of i with itself has D = 0 and the same label: loss 0, gradient 0.
        return _terms(x_BD - x_BD[i], labels != labels[i], margin).sum() / 2

    count = len(x_BD)
    # Checkpointed: the backward pass recomputes a row's differences instead of keeping B x B x D.
    terms = [
        checkpoint(term, i, x_BD, use_reentrant=False, preserve_rng_state=False)
        for i in range(count)
    ]
    return reduce(torch.stack(terms), reduction, divisor=count * (count - 1) // 2)
