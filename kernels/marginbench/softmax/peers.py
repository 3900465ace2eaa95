"""Other libraries' fused linear layer and cross-entropy, and torch's own, called on our arguments.

Imported only when called. All compute the mean, sum or terms of the very same function and
return float32; what each does beside that stands in its contender's note. None of them has a loss
over pairs or triplets, nor a margin on the target's angle.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shared.reduction import wide

CHUNK_ROWS = 256


def torch_linear_cross_entropy(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """torch's own linear cross-entropy in chunks of rows: as `eager.softmax`.

    Without options it is ``F.linear`` and ``F.cross_entropy``. With the default ones it takes so
    few rows at a time that nearly all its time goes into adding to the weights' gradient, which
    each chunk does in full; from 256 rows on a chunk costs hardly more than all rows at once.
    """
    from torch.nn import LinearCrossEntropyOptions

    return wide(
        F.linear_cross_entropy(
            embeddings,
            class_weights,
            labels,
            linear_bias=bias,
            reduction=reduction,
            options=LinearCrossEntropyOptions(batch_chunk_size=CHUNK_ROWS),
        )
    )


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


def liger_cute(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """liger-kernel's CuTe operator for Hopper: as `eager.softmax` without a bias, which it has
    none of. It gives the terms alone; refuses every other GPU."""
    from liger_kernel.ops.cutedsl.ops import LigerFusedScaledCrossEntropySM90Function

    terms = LigerFusedScaledCrossEntropySM90Function.apply(embeddings, class_weights, labels)
    return terms if reduction == "none" else getattr(terms, reduction)()


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
