"""Other libraries' NormFace, called on our arguments."""

from __future__ import annotations

from torch import Tensor

from ..shared import peers


def normface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: float = 30.0,
    reduction: str = "mean",
) -> Tensor:
    """pytorch-metric-learning's NormalizedSoftmaxLoss, whose temperature is 1 / s."""
    return peers.loss(
        "NormalizedSoftmaxLoss", embeddings, labels, class_weights,
        temperature=1 / scale, reduction=reduction,
    )  # fmt: skip
