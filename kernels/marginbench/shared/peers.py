"""pytorch-metric-learning's losses over class weights, called on our arguments; imported only when
called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .reduction import reduce


@functools.lru_cache(maxsize=4)
def _module(kind: str, classes: int, dim: int, options: tuple[tuple[str, Any], ...]) -> Any:
    """Made once per size and with its own weights left unset: making and drawing them is no part of
    the loss."""
    from pytorch_metric_learning import losses, reducers

    return getattr(losses, kind)(
        num_classes=classes, embedding_size=dim, weight_init_func=lambda weight: weight,
        reducer=reducers.DoNothingReducer(), **dict(options),
    )  # fmt: skip


def loss(
    kind: str,
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    reduction: str,
    **options: Any,
) -> Tensor:
    """Its loss called ``kind``. Its class weights are D x C: ours go in as a transposed view."""
    module = _module(kind, *class_weights.shape, tuple(options.items()))
    weights = {"W": class_weights.T}
    value = torch.func.functional_call(module, weights, (embeddings, labels))
    return reduce(value["loss"]["losses"], reduction)


def as_published(kind: str, **options: Any) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Its loss called ``kind`` with its own defaults and reduction, of embeddings, labels and class
    weights (C x D)."""

    def whole(embeddings: Tensor, labels: Tensor, class_weights: Tensor) -> Tensor:
        from pytorch_metric_learning import losses

        classes, dim = class_weights.shape
        module = getattr(losses, kind)(num_classes=classes, embedding_size=dim, **options)
        found: Tensor = torch.func.functional_call(
            module, {"W": class_weights.T}, (embeddings, labels)
        )
        return found

    return whole
