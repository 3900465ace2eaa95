"""Other libraries' A-Softmax, called on our arguments; imported only when called."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from ..checks import InputError
from ..shared.reduction import reduce


@functools.lru_cache(maxsize=4)
def _module(m: int, classes: int, dim: int) -> Any:
    """pytorch-metric-learning's loss, made once per size and with its own weights left unset:
    making and drawing them is no part of the loss."""
    from pytorch_metric_learning import distances, losses, reducers

    common = {
        "num_classes": classes,
        "embedding_size": dim,
        "weight_init_func": lambda weight: weight,
        "reducer": reducers.DoNothingReducer(),
    }
    if m == 1:
        plain = distances.DotProductSimilarity(normalize_embeddings=False)
        return losses.NormalizedSoftmaxLoss(temperature=1, distance=plain, **common)
    return losses.SphereFaceLoss(margin=m, scale=1, **common)


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
    loss = _module(m, *class_weights.shape)
    weights = {"W": class_weights.T}
    value = torch.func.functional_call(loss, weights, (embeddings, labels))
    return reduce(value["loss"]["losses"], reduction)
