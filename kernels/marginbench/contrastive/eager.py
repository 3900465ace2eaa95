"""The contrastive loss in PyTorch, with its own backward pass; memory O(B D) beside a block.

Legend: embeddings (N x D pairs, B x D batch), R rows of a block, D2 and D squared and plain
Euclidean distance. Distances in float32, or in float64 for float64 embeddings. Inputs are left as
they are; InputError names the argument that can't be taken.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..shared import pairwise_loss
from ..shared.forms import checked, of_terms
from ..shared.once import differentiable_once
from ..shared.reduction import wide
from ..shared.row_distances import always_precise, check_held, in_range, squared_lengths
from . import all_pairs as _all_pairs
from . import arguments


@of_terms(arguments.pairs)
def pairs(embeddings_a, embeddings_b, different, margin):
    """D^2/2 for a pair of one identity, max(0, margin - D)^2/2 for ``different`` ones (Hadsell,
    Chopra, LeCun 2006, equation 4). A different pair at D = 0 has the sub-gradient 0."""
    return _Pairs.apply(embeddings_a, embeddings_b, different, margin)


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a_ND: Tensor, b_ND: Tensor, different_N: Tensor, margin: float) -> Tensor:
        precise = always_precise(a_ND)
        (squared_N,) = squared_lengths((a_ND, b_ND), precise=precise)
        if not precise and squared_N.dtype == torch.float32 and not in_range(squared_N, short=True):
            (squared_N,) = squared_lengths((a_ND, b_ND), precise=True)
        distance_N = squared_N.sqrt()
        push_N = (margin - distance_N).clamp_(min=0)
        # The term's derivative by D2, twice: 1 for one identity, -push / D for two.
        towards_N = torch.where(distance_N > 0, -push_N / distance_N, 0.0)
        slope_N = torch.where(different_N, towards_N, 1.0)
        dtype = wide(a_ND[:0]).dtype
        ctx.save_for_backward(a_ND, b_ND, slope_N.to(dtype))
        terms_N = torch.where(different_N, push_N.square_(), squared_N).div_(2).to(dtype)
        if squared_N.dtype == torch.float64:
            check_held("embeddings_a", terms_N, lambda: distance_N.amax())
        return terms_N

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream_N: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a_ND, b_ND, slope_N = ctx.saved_tensors
        of_a_ND = (wide(a_ND) - b_ND).mul_((slope_N * upstream_N)[:, None])
        return of_a_ND.to(a_ND.dtype), of_a_ND.neg().to(b_ND.dtype), None, None


@checked(arguments.all_pairs)
def all_pairs(embeddings, labels, margin, reduction):
    """The loss of `pairs` over all unordered pairs of a labelled batch: l_i is half the sum over j
    of the loss of (i, j), so that the l_i sum to that of the unordered pairs."""
    return pairwise_loss.apply(_all_pairs.sweep, embeddings, labels, reduction, margin=margin)
