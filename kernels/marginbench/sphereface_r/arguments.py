"""What every form of SphereFace-R takes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import check_choice, check_number, check_reduction
from ..shared import cosine_heads

#: With the derivative of its value, or with that of the plain cosine.
RULES = ("true", "detached")


def check_margin(m: float, rule: str) -> float:
    """Python's own of m, from 1 on."""
    check_choice("rule", rule, RULES)
    return check_number("m", m, 1)


def sphereface_r(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 30.0,
    m: float = 1.5,
    rule: str = "true",
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D) and class_weights (C x D) of any length, labels (B, int64 in [0, C))."""
    tensors = cosine_heads.arguments(embeddings, labels, class_weights, scale)
    m = check_margin(m, rule)
    check_reduction(reduction)
    return *tensors, m, rule, reduction
