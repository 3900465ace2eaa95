"""What every form of the softmax loss takes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import check_head, check_reduction
from ..shared.mixed import as_linear


def softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D), bias (C) or None."""
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    check_head(embeddings, labels, class_weights, bias)
    check_reduction(reduction)
    return embeddings, labels, class_weights, bias, reduction
