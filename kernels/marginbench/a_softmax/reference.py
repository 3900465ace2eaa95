"""The definition of the A-Softmax loss, in float64.

x embeddings (B x D), y labels (B), W class weights (C x D), of which only the directions count.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..shared.reduction import reduce
from ..shared.references import direction, length, negative_log_probability


def psi(cosine: Tensor, m: int) -> Tensor:
    """psi(theta) = (-1)^k cos(m theta) - 2k for theta in [k pi/m, (k+1) pi/m].

    cos(m theta) is the Chebyshev polynomial T_m(cos theta), whose gradient is finite at the
    poles, where acos has none (Liu et al. 2017, equation 7).
    """
    k = sum((cosine <= math.cos(i * math.pi / m)).to(cosine.dtype) for i in range(1, m))
    k = k if isinstance(k, Tensor) else torch.zeros_like(cosine)
    polynomials = (
        cosine,
        2 * cosine**2 - 1,
        4 * cosine**3 - 3 * cosine,
        8 * cosine**4 - 8 * cosine**2 + 1,
    )
    return (1 - 2 * (k % 2)) * polynomials[m - 1] - 2 * k


def a_softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    m: int = 4,
    annealing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over ||x|| cos theta_j with the target ||x|| psi(theta_y); mean divides by B.

    With annealing (lambda) the target is (lambda ||x|| cos + ||x|| psi) / (1 + lambda)
    (Liu et al. 2017, equations 5 to 7 and appendix G).
    """
    x_BD = embeddings.double()
    logits_BC = x_BD @ direction(class_weights.double()).T
    plain_B = logits_BC.gather(1, labels[:, None])[:, 0]
    length_B = length(x_BD)
    cosine_B = plain_B / length_B.where(length_B > 0, 1)
    with_margin_B = plain_B if m == 1 else length_B * psi(cosine_B, m)
    target_B = (annealing * plain_B + with_margin_B) / (1 + annealing)
    logits_BC = logits_BC.scatter(1, labels[:, None], target_B[:, None])
    return reduce(negative_log_probability(logits_BC, labels), reduction)
