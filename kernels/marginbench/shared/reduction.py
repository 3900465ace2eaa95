"""How the terms of a loss become its value, the same for every contender."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_reduction


def wide(tensor: Tensor) -> Tensor:
    """The tensor in the dtype that losses are accumulated and returned in: at least float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def reduce(terms_B: Tensor, reduction: str, divisor: Tensor | int | None = None) -> Tensor:
    """``none``: the terms; ``sum``; ``mean``: the sum over ``divisor`` (their number if None).

    A divisor of zero (nothing to average, such as a batch without positives) counts as one, so
    that the mean of nothing is zero with a zero gradient, never NaN. Returns the terms' dtype.
    """
    check_reduction(reduction)
    if reduction == "none":
        return terms_B
    # In float64, for the sum may leave float32 where the mean does not.
    total = terms_B.sum(dtype=torch.float64)
    if reduction == "mean":
        total = total / counted(terms_B.numel() if divisor is None else divisor)
    return total.to(terms_B.dtype)


def counted(divisor: Tensor | int) -> Tensor | int:
    """What a mean divides by: nothing to average counts as one."""
    return divisor.clamp(min=1) if isinstance(divisor, Tensor) else max(divisor, 1)
