"""The definition of SphereFace-R, in float64."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ..shared.references import over_cosines


def target(cosine_B: Tensor, sine_B: Tensor, m: float, rule: str) -> Tensor:
    """The target's logit over s: cos(min(m theta, pi))."""
    theta_B = torch.atan2(sine_B, cosine_B)
    multiplied_B = (m * theta_B).clamp(max=math.pi).cos()
    if rule == "detached":
        return cosine_B + (multiplied_B - cosine_B).detach()
    return multiplied_B


def sphereface_r(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 30.0,
    m: float = 1.5,
    rule: str = "true",
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy over s cos theta_j with the target s cos(min(m theta_y, pi)) (opensphere,
    spherefacer.py, v1), as the rule has it; mean divides by B."""
    return over_cosines(
        embeddings, labels, class_weights, scale,
        functools.partial(target, m=m, rule=rule), reduction,
    )  # fmt: skip
