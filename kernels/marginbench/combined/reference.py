"""The definition of the combined margin, in float64."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..shared.references import over_cosines


def target(cosine_B: Tensor, sine_B: Tensor, m1: float, m2: float, m3: float) -> Tensor:
    """The target's logit over s: cos(m1 theta + m2) - m3."""
    theta_B = torch.atan2(sine_B, cosine_B)
    return (m1 * theta_B + m2).cos() - m3


def combined_margin(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    m1: float = 1.0,
    m2: float = 0.3,
    m3: float = 0.2,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j with the target s (cos(m1 theta_y + m2) - m3) (Deng et al.
    2019, equation 4); mean divides by B."""
    return over_cosines(
        embeddings, labels, class_weights, scale,
        functools.partial(target, m1=m1, m2=m2, m3=m3), reduction,
    )  # fmt: skip
