"""A-Softmax in PyTorch without a B x C matrix: the shared tiled linear + log-sum-exp over unit
weights, and eager's margin on the target's logit."""

from __future__ import annotations

import functools

from torch import Tensor

from ..checks import check_reduction
from ..shared import linear_lse_tiled
from ..shared.mixed import as_linear
from ..shared.reduction import reduce
from .eager import check_arguments, target_with_margin


def a_softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    m: int = 4,
    annealing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """A-Softmax (Liu et al. 2017, equations 5 to 7, annealing of appendix G); mean divides by B.

    Arguments, edges and result as eager's, on the CPU. No B x C matrix is made. Differentiable
    once. Raises InputError naming the argument.
    """
    embeddings, class_weights = as_linear(embeddings, class_weights)
    m, annealing = check_arguments(embeddings, labels, class_weights, m, annealing)
    linear_lse_tiled.check_cpu(embeddings)
    check_reduction(reduction)
    margin = None if m == 1 else functools.partial(target_with_margin, m=m, annealing=annealing)
    terms_B = linear_lse_tiled.terms(
        embeddings, labels, class_weights, margin_function=margin, unit_weights=True
    )
    return reduce(terms_B, reduction)
