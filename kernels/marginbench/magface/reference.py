"""The definition of MagFace, in float64."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..shared.reduction import reduce
from ..shared.references import length, over_cosines


def target(cosine_B: Tensor, sine_B: Tensor, margin_B: Tensor, rule: str) -> Tensor:
    """The target's logit over s: cos(theta + m)."""
    turned_B = cosine_B * margin_B.cos() - sine_B * margin_B.sin()
    return torch.where(cosine_B > 0, turned_B, cosine_B) if rule == "easy" else turned_B


def magface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    l_a: float = 10.0,
    u_a: float = 110.0,
    l_m: float = 0.45,
    u_m: float = 0.8,
    lambda_g: float = 35.0,
    rule: str = "true",
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j with the target s cos(theta_y + m(a)), and lambda_g (a /
    u_a^2 + 1 / a) of each row, with a = ||x|| in [l_a, u_a] (Meng et al. 2021); mean divides by
    B."""
    a_B = length(embeddings.double()).clamp(l_a, u_a)
    margin_B = l_m + (u_m - l_m) / (u_a - l_a) * (a_B - l_a)
    terms_B = over_cosines(
        embeddings, labels, class_weights, scale,
        functools.partial(target, margin_B=margin_B, rule=rule), "none",
    )  # fmt: skip
    return reduce(terms_B + lambda_g * (a_B / u_a**2 + 1 / a_B), reduction)
