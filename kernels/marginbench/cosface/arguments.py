"""What every form of CosFace takes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import check_number, check_reduction
from ..shared import cosine_heads


def cosface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.35,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D) and class_weights (C x D) of any length, labels (B, int64 in [0, C))."""
    tensors = cosine_heads.arguments(embeddings, labels, class_weights, scale)
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    return *tensors, margin, reduction
