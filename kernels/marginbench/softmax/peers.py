"""Other libraries' fused linear layer and cross-entropy, called on our arguments.

Imported only when called. All three compute the mean, sum or terms of the very same function and
return float32; what each does beside that stands in its contender's note. None of them has a loss
over pairs or triplets, nor a margin on the target's angle.
"""

from __future__ import annotations

import torch
from torch import Tensor


def liger(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """liger-kernel's fused linear cross-entropy: as `eager.softmax`.

    The weights' gradient is a sum over chunks of the batch, in the inputs' dtype unless another
    is given. With the default the sum of some hundred chunks in bfloat16 is no longer the same
    function to rounding, so float32 is given, as its documentation advises.
    """
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    return liger_fused_linear_cross_entropy(
        embeddings,
        class_weights,
        labels,
        bias=bias,
        reduction=reduction,
        accum_dtype=torch.float32,
    )


def cut_cross_entropy(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Apple's cut cross-entropy: as `eager.softmax` without a bias, which it has none of.

    By default it leaves out tiles whose softmax is everywhere below a threshold, so its gradients
    are others; ``filter_eps=None`` is the exact function.
    """
    from cut_cross_entropy import linear_cross_entropy

    return linear_cross_entropy(
        embeddings, class_weights, labels, reduction=reduction, shift=False, filter_eps=None
    )


def quack(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """quack's linear cross-entropy: as `eager.softmax`.

    Its chunked form has neither a bias nor the terms; there its other one is taken, F.linear with
    a fused cross-entropy over the B x C logits.
    """
    from quack import linear_cross_entropy as library

    if bias is None and reduction != "none":
        return library.chunked_linear_cross_entropy(
            embeddings, class_weights, labels, reduction=reduction
        )
    return library.linear_cross_entropy_func(
        embeddings, class_weights, bias, labels, reduction=reduction
    )
