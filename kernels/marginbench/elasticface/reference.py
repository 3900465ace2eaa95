"""The definition of ElasticFace, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from ..shared.references import over_cosines
from .arguments import EQUAL


def elasticface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    margins: Tensor,
    *,
    scale: Tensor | float = 64.0,
    rule: str = "arc",
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j with the target s cos(theta_y + m_i) (Boutros et al. 2022,
    equation 6), or s (cos theta_y - m_i) (equation 7; numbers unverified); mean divides by B."""

    def target(cosine_B: Tensor, sine_B: Tensor) -> Tensor:
        margin_B = margins.double()
        if rule == "cos":
            return cosine_B - margin_B
        if rule == "sorted":
            rank_B = (-EQUAL * cosine_B.detach()).round().argsort(stable=True).argsort()
            margin_B = margin_B.sort().values[rank_B]
        return cosine_B * torch.cos(margin_B) - sine_B * torch.sin(margin_B)

    return over_cosines(embeddings, labels, class_weights, scale, target, reduction)
