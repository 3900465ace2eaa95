"""The definition of the softmax loss, in float64.

x embeddings (B x D), y labels (B), W class weights (C x D), b bias (C).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..shared.reduction import reduce


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


def softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """-log softmax(W x_i + b)[y_i] for each i (Wen et al. 2016, equation 1); mean divides by B."""
    logits_BC = embeddings.double() @ class_weights.double().T
    if bias is not None:
        logits_BC = logits_BC + bias.double()
    return reduce(negative_log_probability(logits_BC, labels), reduction)
