"""The softmax loss in PyTorch: the linear layer and the library's own cross-entropy."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..checks import NO_LABEL, check_head, check_reduction
from ..shared.mixed import as_linear
from ..shared.reduction import wide


def softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of ``embeddings @ class_weights.T + bias``; mean divides by B.

    This is plain ``F.linear`` and ``F.cross_entropy``, what most training code does: where a peer
    or a kernel is compared with eager, it is compared with those. Logits of 16-bit inputs go into
    ``F.cross_entropy`` as float32, for a loss in 16 bits keeps two or three digits.

    embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D), bias (C) or None.
    Returns float32 (float64 for float64 inputs): (B,) for reduction ``none``, else a scalar.
    Raises InputError naming the argument. Source: Wen et al. 2016, equation 1.
    """
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    check_head(embeddings, labels, class_weights, bias)
    check_reduction(reduction)
    logits_BC = wide(F.linear(embeddings, class_weights, bias))
    return F.cross_entropy(logits_BC, labels, reduction=reduction, ignore_index=NO_LABEL)
