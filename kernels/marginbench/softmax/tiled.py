"""The softmax loss in PyTorch without a B x C matrix: the shared tiled linear + log-sum-exp."""

from __future__ import annotations

from torch import Tensor

from ..checks import check_head, check_reduction
from ..shared import linear_lse_tiled
from ..shared.mixed import as_linear
from ..shared.reduction import reduce


def softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of ``embeddings @ class_weights.T + bias``; mean divides by B.

    embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D), bias (C) or None, on
    the CPU. No B x C matrix is made. Differentiable once.
    Returns float32 (float64 for float64 inputs): (B,) for reduction ``none``, else a scalar.
    Raises InputError naming the argument. Source: Wen et al. 2016, equation 1.
    """
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    check_head(embeddings, labels, class_weights, bias)
    linear_lse_tiled.check_cpu(embeddings)
    check_reduction(reduction)
    return reduce(linear_lse_tiled.terms(embeddings, labels, class_weights, bias), reduction)
