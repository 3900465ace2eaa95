"""Other libraries' A-Softmax, called on our arguments; imported only when called."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor

from ..checks import InputError
from ..shared import peers


@functools.cache
def _plain_products() -> Any:
    from pytorch_metric_learning import distances

    return distances.DotProductSimilarity(normalize_embeddings=False)


def a_softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    m: int = 4,
    annealing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """pytorch-metric-learning's SphereFaceLoss with scale 1: ||x|| psi(theta) on the target.

    For m = 1 its NormalizedSoftmaxLoss with temperature 1, which is the same function and the
    faster of its two. Its class weights are D x C: ours go in as a transposed view. Raises
    InputError for annealing, which it does not have.
    """
    if annealing:
        raise InputError("annealing", "0: pytorch-metric-learning has none", annealing)
    tensors = embeddings, labels, class_weights
    if m == 1:
        return peers.loss(
            "NormalizedSoftmaxLoss", *tensors,
            temperature=1, distance=_plain_products(), reduction=reduction,
        )  # fmt: skip
    return peers.loss("SphereFaceLoss", *tensors, margin=m, scale=1, reduction=reduction)
