"""The center loss in Triton. Same functions as eager, without float64, and both at once (`step`).

The kernels: `fused_centers`, and the softmax loss's for the joint one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_number, check_reduction
from ..shared.launching import check_fused
from ..shared.mixed import as_centers, as_linear
from ..shared.reduction import reduce
from ..softmax.fused import head
from .eager import check_centers, check_joint
from .fused_centers import center_step, center_terms, center_update


def joint(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    centers: Tensor,
    weight: float = 0.003,
    reduction: str = "mean",
) -> Tensor:
    """The softmax loss plus weight/2 ||x_i - c_{y_i}||^2 (Wen et al. 2016, equation 5).

    embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D), bias (C) or None,
    centers (C x D), which take no gradient, in float32, bfloat16 or float16, on a GPU (or in
    Triton's interpreter); weight (lambda) >= 0. Mean divides by B. Differentiable once.
    Returns float32: (B,) for reduction ``none``, else a scalar. Raises InputError naming the
    argument; what the GPU only can see (a label out of range, a NaN) makes the loss NaN.
    """
    pulled = as_centers(embeddings, centers)
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    weight = check_joint(embeddings, labels, class_weights, bias, pulled, centers, weight)
    check_fused(embeddings)
    check_reduction(reduction)
    softmax_B = head(embeddings, labels, class_weights, bias)
    return reduce(softmax_B + weight * center_terms(pulled, labels, centers.detach()), reduction)


def term(embeddings: Tensor, labels: Tensor, centers: Tensor, *, reduction: str = "mean") -> Tensor:
    """||x_i - c_{y_i}||^2 / 2 (Wen et al. 2016, equation 2); mean divides by B.

    Arguments, result and errors as `joint`'s.
    """
    embeddings = as_centers(embeddings, centers)
    check_centers(embeddings, labels, centers)
    check_fused(embeddings)
    check_reduction(reduction)
    return reduce(center_terms(embeddings, labels, centers.detach()), reduction)


@torch.no_grad()
def update(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    alpha: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """c_j - alpha sum_i [y_i = j](c_j - x_i) / (1 + n_j) (Wen et al. 2016, equation 4).

    embeddings (B x D), labels (B, int64 in [0, C)), centers (C x D); alpha in [0, 1]. Returns new
    centers (C x D) in the centers' dtype, without a gradient; the old ones stay as they are. The
    same bits every time: each class sums its own rows in their order.
    ``reduction`` is checked and changes nothing. Raises InputError naming the argument; a label
    out of range on a GPU makes every center NaN.
    """
    embeddings = as_centers(embeddings, centers)
    check_centers(embeddings, labels, centers)
    check_fused(embeddings)
    check_number("alpha", alpha, 0, high=1)
    check_reduction(reduction)
    return center_update(embeddings, labels, centers, float(alpha))


def step(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    alpha: float = 0.5,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """`term` and `update` in one launch, with backward two: the loss and the new centers.

    Both are of the centers as they come, and only the loss takes a gradient. Arguments and errors
    as theirs.
    """
    embeddings = as_centers(embeddings, centers)
    check_centers(embeddings, labels, centers)
    check_fused(embeddings)
    check_number("alpha", alpha, 0, high=1)
    check_reduction(reduction)
    terms_B, new_CD = center_step(embeddings, labels, centers.detach(), float(alpha))
    return reduce(terms_B, reduction), new_CD
