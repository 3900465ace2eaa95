"""The softmax loss in Triton: the shared linear + log-sum-exp, with the target's logit as it is."""

from __future__ import annotations

from torch import Tensor

from ..checks import check_head, check_reduction
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from ..shared.mixed import as_linear
from ..shared.reduction import reduce

head = Head("softmax", None, unit_weights=False)


def softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of ``embeddings @ class_weights.T + bias``; mean divides by B.

    embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D), bias (C) or None, in
    float32, bfloat16 or float16, on a GPU (or in Triton's interpreter). No B x C matrix is made.
    Returns float32: (B,) for reduction ``none``, else a scalar. Differentiable once.
    Raises InputError naming the argument; what the GPU only can see (a label out of range, a NaN)
    makes the loss NaN. Source: Wen et al. 2016, equation 1.
    """
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    check_head(embeddings, labels, class_weights, bias)
    check_fused(embeddings)
    check_reduction(reduction)
    return reduce(head(embeddings, labels, class_weights, bias), reduction)
