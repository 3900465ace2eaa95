"""The joint center loss in PyTorch without a B x C matrix: the shared tiled linear + log-sum-exp,
and eager's distances."""

from __future__ import annotations

from torch import Tensor

from ..checks import check_reduction
from ..shared import linear_lse_tiled
from ..shared.mixed import as_centers, as_linear
from ..shared.reduction import reduce
from . import eager


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

    Arguments and result as eager's, on the CPU. No B x C matrix is made. Differentiable once.
    Raises InputError naming the argument.
    """
    pulled = as_centers(embeddings, centers)
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    weight = eager.check_joint(embeddings, labels, class_weights, bias, pulled, centers, weight)
    linear_lse_tiled.check_cpu(embeddings)
    check_reduction(reduction)
    softmax_B = linear_lse_tiled.terms(embeddings, labels, class_weights, bias)
    distance_B = eager.half_squared_distances(pulled, labels, centers)
    return reduce(softmax_B + weight * distance_B, reduction)
