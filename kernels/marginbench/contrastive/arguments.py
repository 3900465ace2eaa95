"""What every form of the contrastive loss takes: of explicit pairs, of the pairs of a batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import check_batch, check_number, check_pairs, check_reduction


def pairs(
    embeddings_a: Tensor,
    embeddings_b: Tensor,
    different: Tensor,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings_a, embeddings_b (N x D, one float dtype), different (N, bool)."""
    check_pairs(embeddings_a, embeddings_b, different)
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    return embeddings_a, embeddings_b, different, margin, reduction


def all_pairs(
    embeddings: Tensor, labels: Tensor, *, margin: float = 1.0, reduction: str = "mean"
) -> tuple[Any, ...]:
    """embeddings (B x D), labels (B, int64 >= 0)."""
    check_batch(embeddings, labels)
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    return embeddings, labels, margin, reduction
