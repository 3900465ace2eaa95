"""The definition of the center loss and of its centers' update, in float64.

x embeddings (B x D), y labels (B), W class weights (C x D), b bias (C), c centers (C x D).
"""

from __future__ import annotations

from torch import Tensor

from ..shared.reduction import reduce
from ..softmax import reference as softmax_reference


def _half_squared_distance(embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    difference_BD = embeddings.double() - centers.detach().double()[labels]
    return difference_BD.square().sum(dim=1) / 2


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

    The centers take no gradient; mean divides by B.
    """
    softmax_B = softmax_reference.softmax(embeddings, labels, class_weights, bias, reduction="none")
    terms_B = softmax_B + weight * _half_squared_distance(embeddings, labels, centers)
    return reduce(terms_B, reduction)


def term(embeddings: Tensor, labels: Tensor, centers: Tensor, *, reduction: str = "mean") -> Tensor:
    """||x_i - c_{y_i}||^2 / 2 (Wen et al. 2016, equation 2); mean divides by B."""
    return reduce(_half_squared_distance(embeddings, labels, centers), reduction)


def update(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    alpha: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """c_j - alpha sum_i [y_i = j](c_j - x_i) / (1 + n_j) (Wen et al. 2016, equation 4), float64.

    An update has no terms to reduce: ``reduction`` changes nothing.
    """
    x_BD, old_CD = embeddings.detach().double(), centers.detach().double()
    new_CD = old_CD.clone()
    for j in labels.unique().tolist():
        members_ND = x_BD[labels == j]
        step_D = (old_CD[j] - members_ND).sum(dim=0) / (1 + len(members_ND))
        new_CD[j] = old_CD[j] - alpha * step_D
    return new_CD
