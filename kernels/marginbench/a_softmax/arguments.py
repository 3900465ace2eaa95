"""What every form of A-Softmax takes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import InputError, check_head, check_number, check_reduction, is_whole
from ..shared.mixed import as_linear

MARGINS = (1, 2, 3, 4)


def check_margin(m: int) -> int:
    """Python's own of one of `MARGINS`."""
    if not is_whole(m) or m not in MARGINS:
        raise InputError("m", "1, 2, 3 or 4", repr(m))
    return int(m)


def a_softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    m: int = 4,
    annealing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D) of any length."""
    embeddings, class_weights = as_linear(embeddings, class_weights)
    check_head(embeddings, labels, class_weights)
    m, annealing = check_margin(m), check_number("annealing", annealing, 0)
    check_reduction(reduction)
    return embeddings, labels, class_weights, m, annealing, reduction
