"""The definition of ArcFace and of what else goes by its name, in float64."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ..shared.references import over_cosines, over_sampled_cosines

# AdaFace's repository (head.py, class ArcFace): eps.
_CLIPPED = 1e-4


def target(cosine_B: Tensor, sine_B: Tensor, margin: float, rule: str) -> Tensor:
    """The target's logit over s; cos(theta + m) = cos theta cos m - sin theta sin m."""
    turned_B = cosine_B * math.cos(margin) - sine_B * math.sin(margin)
    if rule == "guarded":
        inside_B = cosine_B >= -math.cos(margin)  # theta <= pi - m
        return torch.where(inside_B, turned_B, cosine_B - margin * math.sin(margin))
    if rule == "detached":
        return cosine_B + (turned_B - cosine_B).detach()
    if rule == "easy":
        return torch.where(cosine_B > 0, turned_B, cosine_B)
    if rule == "clipped":
        theta_B = cosine_B.clamp(_CLIPPED - 1, 1 - _CLIPPED).acos()
        return (theta_B + margin).clamp(_CLIPPED, math.pi - _CLIPPED).cos()
    return turned_B


def arcface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.5,
    rule: str = "true",
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j with the target s cos(theta_y + m) (Deng et al. 2019,
    equation 3), as the rule has it; mean divides by B."""
    return over_cosines(
        embeddings, labels, class_weights, scale,
        functools.partial(target, margin=margin, rule=rule), reduction,
    )  # fmt: skip


def arcface_sampled(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    sampled: Tensor,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.5,
    rule: str = "true",
    corrected: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """The same over the sampled classes alone; ``corrected``, each but the label's counts
    (C - 1) / (S - 1) times."""
    return over_sampled_cosines(
        embeddings, labels, class_weights, sampled, scale,
        functools.partial(target, margin=margin, rule=rule), corrected, reduction,
    )  # fmt: skip
