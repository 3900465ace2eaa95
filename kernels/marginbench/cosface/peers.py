"""Other libraries' CosFace, called on our arguments."""

from __future__ import annotations

from torch import Tensor

from ..shared import peers


def cosface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: float = 64.0,
    margin: float = 0.35,
    reduction: str = "mean",
) -> Tensor:
    """pytorch-metric-learning's CosFaceLoss."""
    return peers.loss(
        "CosFaceLoss", embeddings, labels, class_weights,
        scale=scale, margin=margin, reduction=reduction,
    )  # fmt: skip
