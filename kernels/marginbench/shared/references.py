"""What the references of the heads over class weights have in common, in float64.

B batch, D dimension, C classes, S of them sampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .reduction import reduce

# Of the difference of two directions in float64.
_ROUNDING = 8 * torch.finfo(torch.float64).eps


def negative_log_probability(logits_BC: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(l_i)[y_i] as log(1 + sum_{j != y_i} exp(l_ij - l_iy)), the same number.

    Nothing cancels in this form: by l_ij the derivative is the probability of j, by the target's
    logit minus the sum of those. As log-sum-exp less the target it would be p - 1, which is 0
    where p is within rounding of 1.
    """
    target_B1 = logits_BC.gather(1, labels[:, None])
    # The lowest number, not minus infinity, which gives NaN where there is no other class.
    lowest = torch.finfo(logits_BC.dtype).min
    others_BC = logits_BC.scatter(1, labels[:, None], lowest)
    # The others less their largest, not less the target, far from which they would all seem equal;
    # and torch.logsumexp takes its derivative from a result that is rounded like a logit.
    largest_B1 = others_BC.detach().amax(dim=1, keepdim=True)
    rest_B1 = largest_B1 - target_B1 + (others_BC - largest_B1).exp().sum(dim=1, keepdim=True).log()
    return torch.logaddexp(rest_B1, torch.zeros_like(rest_B1))[:, 0]


def length(rows_ND: Tensor) -> Tensor:
    """||row||, with the sub-gradient 0 at a row of zeros."""
    square_N = rows_ND.square().sum(dim=1)
    return torch.where(square_N > 0, square_N.where(square_N > 0, 1).sqrt(), 0)


def direction(rows_ND: Tensor) -> Tensor:
    """row / ||row||; at a row of zeros 0, with gradient 0."""
    length_N1 = length(rows_ND)[:, None]
    return torch.where(length_N1 > 0, rows_ND / length_N1.where(length_N1 > 0, 1), 0)


def over_cosines(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    scale: Tensor | float,
    target: Callable[[Tensor, Tensor], Tensor],
    reduction: str,
    copies: float = 1,
) -> Tensor:
    """Cross-entropy over s cos theta_j with s target(cos theta_y, sin theta_y) for the label. Each
    class but the label's counts ``copies`` times.

    An embedding of zeros has no angles: its logits are all 0. sin theta is the length of what is
    left of the embedding's direction off the class weight's: exact next to the poles too, and 0
    with the sub-gradient 0 where that is rounding.
    """
    x_BD, w_CD = direction(embeddings.double()), direction(class_weights.double())
    cosine_BC = x_BD @ w_CD.T
    cosine_B = cosine_BC.gather(1, labels[:, None])[:, 0]
    sine_B = length(x_BD - cosine_B[:, None] * w_CD[labels])
    sine_B = torch.where(sine_B > _ROUNDING, sine_B, 0)
    some_B = length(embeddings.double()) > 0
    target_B = torch.where(some_B, target(cosine_B, sine_B), 0)
    logits_BC = scale * cosine_BC.scatter(1, labels[:, None], target_B[:, None])
    if copies != 1:
        more_BC = torch.full_like(logits_BC, math.log(copies)).scatter(1, labels[:, None], 0)
        logits_BC = logits_BC + more_BC
    return reduce(negative_log_probability(logits_BC, labels), reduction)


def over_sampled_cosines(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    sampled: Tensor,
    scale: Tensor | float,
    target: Callable[[Tensor, Tensor], Tensor],
    corrected: bool,
    reduction: str,
) -> Tensor:
    """`over_cosines` of the class weights of ``sampled``, which rise and hold every label."""
    own_B = (labels[:, None] == sampled).int().argmax(dim=1)
    others = len(sampled) - 1
    copies = (class_weights.shape[0] - 1) / others if corrected and others else 1
    return over_cosines(embeddings, own_B, class_weights[sampled], scale, target, reduction, copies)
