"""What every form of ArcFace takes."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ..checks import check_choice, check_number, check_reduction
from ..shared import cosine_heads

#: What people compute under this name: see the page of the loss.
RULES = ("true", "guarded", "detached", "easy", "clipped")


def arcface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.5,
    rule: str = "true",
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D) and class_weights (C x D) of any length, labels (B, int64 in [0, C))."""
    tensors = cosine_heads.arguments(embeddings, labels, class_weights, scale)
    margin = check_number("margin", margin, 0, high=math.pi)
    check_choice("rule", rule, RULES)
    check_reduction(reduction)
    return *tensors, margin, rule, reduction
