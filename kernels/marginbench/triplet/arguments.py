"""What every form of the triplet loss takes: of explicit triplets, of a batch, of a mining rule."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import check_batch, check_choice, check_number, check_reduction, check_triplets


def explicit(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """anchor, positive, negative (N x D, one float dtype)."""
    check_triplets(anchor, positive, negative)
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    return anchor, positive, negative, margin, reduction


def batch(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> tuple[Any, ...]:
    """embeddings (B x D), labels (B, int64 >= 0)."""
    check_batch(embeddings, labels)
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    return embeddings, labels, margin, reduction


def batch_all(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    divisor: str = "valid",
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """As `batch`; a mean divides by the ``valid`` triplets, or by the ``active`` ones, whose hinge
    is above zero."""
    taken = batch(embeddings, labels, margin=margin, reduction=reduction)
    check_choice("divisor", divisor, ("valid", "active"))
    return *taken[:-1], divisor, reduction


def mining(embeddings: Tensor, labels: Tensor, *, reduction: str = "mean") -> tuple[Any, ...]:
    """As `batch`; indices have nothing to reduce."""
    return batch(embeddings, labels, reduction=reduction)[:2]
