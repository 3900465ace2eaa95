"""The definition of AdaFace and of its running statistics, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..shared.references import length, over_cosines

_EPS = 1e-3


def adaface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    mean: Tensor | float,
    std: Tensor | float,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.4,
    h: float = 0.333,
    rule: str = "true",
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j with the target s (cos(theta_y - m k) - (m + m k)) (Kim,
    Jain, Liu 2022), k = h (||x|| - mean) / (std + eps) in [-1, 1], which counts as a constant;
    ``detached``, the angle's margin does too; else the angle is kept eps from 0 and pi. The mean
    divides by B."""
    mean, std = (torch.as_tensor(one).double() for one in (mean, std))
    quality_B = (h * (_lengths(embeddings) - mean) / (std + _EPS)).clamp(-1, 1)

    def target(cosine_B: Tensor, sine_B: Tensor) -> Tensor:
        angle_B = torch.atan2(sine_B, cosine_B) - margin * quality_B
        if rule == "detached":
            turned_B = cosine_B + (angle_B.cos() - cosine_B).detach()
        else:
            turned_B = angle_B.clamp(_EPS, math.pi - _EPS).cos()
        return turned_B - (margin + margin * quality_B)

    return over_cosines(embeddings, labels, class_weights, scale, target, reduction)


def _lengths(embeddings: Tensor) -> Tensor:
    return length(embeddings.detach().double()).clamp(1e-3, 100.0)


def moved_mean(embeddings: Tensor, mean: Tensor, *, t_alpha: float = 0.01) -> Tensor:
    """The running mean of the lengths, each in [0.001, 100], after a step with these embeddings
    (B x D)."""
    return (1 - t_alpha) * mean.double() + t_alpha * _lengths(embeddings).mean()


def moved_std(embeddings: Tensor, std: Tensor, *, t_alpha: float = 0.01) -> Tensor:
    """The running standard deviation of the lengths, of which a step's own is the unbiased one."""
    return (1 - t_alpha) * std.double() + t_alpha * _lengths(embeddings).std()
