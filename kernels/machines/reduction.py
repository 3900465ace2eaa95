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
    that the mean of nothing is zero with a zero gradient, never NaN.
    """
    check_reduction(reduction)
    if reduction == "none":
        return terms_B
    total = terms_B.sum()
    if reduction == "sum":
        return total
    if divisor is None:
        divisor = terms_B.numel()
    return total / counted(divisor)


def counted(divisor: Tensor | int) -> Tensor | int:
    """What a mean divides by: nothing to average counts as one."""
    return divisor.clamp(min=1) if isinstance(divisor, Tensor) else max(divisor, 1)
