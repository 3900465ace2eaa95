"""What every form takes: of the joint loss, of its center term alone, of the centers' update."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import (
    check_finite,
    check_head,
    check_labels,
    check_matrix,
    check_number,
    check_reduction,
    check_rows,
)
from ..shared.mixed import as_centers, as_linear


def joint(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    centers: Tensor,
    weight: float = 0.003,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D), bias (C) or None,
    centers (C x D), which take no gradient. Before the centers it returns the embeddings as these
    take them, which autocast does not round."""
    pulled = as_centers(embeddings, centers)
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    check_head(embeddings, labels, class_weights, bias)
    check_matrix("centers", centers, like=pulled)
    check_rows("centers", centers, class_weights)
    check_finite(centers=centers)
    weight = check_number("weight", weight, 0)
    check_reduction(reduction)
    return embeddings, labels, class_weights, bias, pulled, centers, weight, reduction


def term(
    embeddings: Tensor, labels: Tensor, centers: Tensor, *, reduction: str = "mean"
) -> tuple[Any, ...]:
    """embeddings (B x D), labels (B, int64 in [0, C)), centers (C x D), which take no gradient."""
    embeddings = as_centers(embeddings, centers)
    check_matrix("centers", centers)
    check_matrix("embeddings", embeddings, like=centers, of="centers")
    check_labels("labels", labels, embeddings, classes=centers.shape[0])
    check_finite(embeddings=embeddings, centers=centers)
    check_reduction(reduction)
    return embeddings, labels, centers, reduction


def update(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    alpha: float = 0.5,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """As `term`, and the rate alpha in [0, 1]. An update has nothing to reduce."""
    *taken, reduction = term(embeddings, labels, centers, reduction=reduction)
    return *taken, check_number("alpha", alpha, 0, high=1), reduction
