"""The definition of the softmax loss, in float64.

x embeddings (B x D), y labels (B), W class weights (C x D), b bias (C).
"""

from __future__ import annotations

from torch import Tensor

from ..shared.reduction import reduce
from ..shared.references import negative_log_probability


def softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """-log softmax(W x_i + b)[y_i] for each i (Wen et al. 2016, equation 1); mean divides by B."""
    logits_BC = embeddings.double() @ class_weights.double().T
    if bias is not None:
        logits_BC = logits_BC + bias.double()
    return reduce(negative_log_probability(logits_BC, labels), reduction)
