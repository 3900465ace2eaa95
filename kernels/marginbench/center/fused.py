"""The center loss in Triton. Same functions as eager, without float64, and both at once (`step`).

The kernels: `fused_centers`, and the softmax loss's for the joint one.
"""

from __future__ import annotations

import torch

from ..shared.forms import checked, of_terms
from ..shared.launching import check_fused
from ..shared.reduction import reduce
from ..softmax.fused import head
from . import arguments
from .fused_centers import center_step, center_terms, center_update


@of_terms(arguments.joint, on=check_fused)
def joint(embeddings, labels, class_weights, bias, pulled, centers, weight):
    """The softmax loss plus weight/2 ||x_i - c_{y_i}||^2 (Wen et al. 2016, equation 5).

    Differentiable once. What the GPU only can see (a label out of range, a NaN) makes the loss NaN.
    """
    softmax_B = head(embeddings, labels, class_weights, bias)
    return softmax_B + weight * center_terms(pulled, labels, centers.detach())


@of_terms(arguments.term, on=check_fused)
def term(embeddings, labels, centers):
    """||x_i - c_{y_i}||^2 / 2 (Wen et al. 2016, equation 2), as `joint`."""
    return center_terms(embeddings, labels, centers.detach())


@torch.no_grad()
@checked(arguments.update, on=check_fused)
def update(embeddings, labels, centers, alpha, reduction):
    """c_j - alpha sum_i [y_i = j](c_j - x_i) / (1 + n_j) (Wen et al. 2016, equation 4): new centers
    in the centers' dtype. The same bits every time: each class sums its own rows in their order. A
    label out of range on a GPU makes every center NaN."""
    return center_update(embeddings, labels, centers, float(alpha))


@checked(arguments.update, on=check_fused)
def step(embeddings, labels, centers, alpha, reduction):
    """`term` and `update` in one launch, with backward two: the loss and the new centers. Both are
    of the centers as they come, and only the loss takes a gradient."""
    terms_B, new_CD = center_step(embeddings, labels, centers.detach(), float(alpha))
    return reduce(terms_B, reduction), new_CD
