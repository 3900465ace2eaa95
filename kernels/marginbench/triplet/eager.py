"""The triplet loss in PyTorch, with its own backward pass; memory O(B^2) at most.

Legend: embeddings (B x D), labels (B), N explicit triplets, T mined ones. Distances are squared,
in float32, or in float64 for float64 embeddings. Every function leaves its inputs as they are and
raises InputError naming the argument that it can't take.
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
from . import arguments, mined, mining
from . import batch_all as _batch_all
from .hinges import may_flip

# A margin below this is no larger than squared distances that float32 does not hold.
_SHORT = 2.0**-60


@of_terms(arguments.explicit)
def explicit(anchor, positive, negative, margin):
    """[||a - p||^2 - ||a - n||^2 + margin]_+ of each row (Schroff et al. 2015, section 3.1)."""
    return _Explicit.apply(anchor, positive, negative, margin)


class _Explicit(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, anchor: Tensor, positive: Tensor, negative: Tensor, margin: float
    ) -> Tensor:
        pairs = ((anchor, positive), (anchor, negative))
        precise = always_precise(anchor)
        d_ap, d_an = squared_lengths(*pairs, precise=precise)
        hinge_N = d_ap - d_an + margin
        if not precise and hinge_N.dtype == torch.float32:
            squares_N = d_ap + d_an
            if not in_range(squares_N, short=margin < _SHORT) or may_flip(
                hinge_N, squares_N, margin, anchor.shape[1]
            ):
                d_ap, d_an = squared_lengths(*pairs, precise=True)
                hinge_N = d_ap - d_an + margin
        hinge_N.clamp_(min=0)
        ctx.save_for_backward(anchor, positive, negative, hinge_N > 0)
        terms_N = hinge_N.to(wide(anchor[:0]).dtype)
        if hinge_N.dtype == torch.float64:
            check_held("anchor", terms_N, lambda: torch.maximum(d_ap, d_an).amax().sqrt())
        return terms_N

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream_N: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        anchor, positive, negative, active_N = ctx.saved_tensors
        slope_N1 = (2 * upstream_N * active_N)[:, None]
        # The anchor's not as the sum of the others, which loses what is small where these are
        # alike.
        of_anchor = (wide(negative) - positive).mul_(slope_N1)
        of_positive = (wide(positive) - anchor).mul_(slope_N1)
        of_negative = (wide(anchor) - negative).mul_(slope_N1)
        return (*(g.to(anchor.dtype) for g in (of_anchor, of_positive, of_negative)), None)


@checked(arguments.batch_all)
def batch_all(embeddings, labels, margin, divisor, reduction):
    """l_a = the sum of [d_ap - d_an + margin]_+ over all positives p and negatives n of anchor a
    (Hermans et al. 2017, section 2).

    Time O(B^2 D + B^2 K) for K positives of an anchor, or O(B^2 D + B^2 log K) where those are
    many.
    """
    return pairwise_loss.apply(
        _batch_all.sweep, embeddings, labels, reduction, margin=margin, divisor=divisor
    )


@checked(arguments.batch)
def batch_hard(embeddings, labels, margin, reduction):
    """[d_ap - d_an + margin]_+ of each anchor's farthest positive and nearest negative (Hermans et
    al. 2017, section 2, with squared distances). An anchor without either gives 0 and does not
    count in the divisor of the mean."""
    return pairwise_loss.apply(mined.sweep_batch_hard, embeddings, labels, reduction, margin=margin)


@checked(arguments.batch)
def semi_hard(embeddings, labels, margin, reduction):
    """The sum over an anchor's positives p of [d_ap - d_an + margin]_+, n by `mine_semi_hard`
    (Schroff et al. 2015, section 3.2); mean divides by the pairs (a, p) whose anchor has a
    negative."""
    return pairwise_loss.apply(mined.sweep_semi_hard, embeddings, labels, reduction, margin=margin)


@checked(arguments.batch)
def semi_hard_all(embeddings, labels, margin, reduction):
    """The sum of d_ap - d_an + margin over all p and n with d_ap < d_an < d_ap + margin (Schroff et
    al. 2015, section 3.2); mean divides by the number of such triplets."""
    return pairwise_loss.apply(
        _batch_all.sweep, embeddings, labels, reduction,
        margin=margin, beyond=True, divisor="active",
    )  # fmt: skip


@torch.no_grad()
@checked(arguments.mining)
def mine_batch_hard(embeddings, labels):
    """Farthest positive (B) and nearest negative (B) of each anchor, int64, -1 where none; ties
    go to the lowest index."""
    return mining.list_hardest(embeddings, labels)


@torch.no_grad()
@checked(arguments.mining)
def mine_semi_hard(embeddings, labels):
    """Anchors, positives and negatives (T, int64): for each pair of an anchor and a positive, in
    row-major order, the nearest negative with d_an > d_ap, or the farthest where none is; ties
    go to the lowest index. Anchors without a negative give no row."""
    return mining.list_semi_hard(embeddings, labels)


@torch.no_grad()
@checked(arguments.batch)
def mine_semi_hard_all(embeddings, labels, margin, reduction):
    """Anchors, positives and negatives (T, int64) of all triplets with d_ap < d_an < d_ap +
    margin, in lexicographic order."""
    return mining.list_all_semi_hard(embeddings, labels, margin)
