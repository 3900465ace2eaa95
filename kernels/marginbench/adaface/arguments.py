"""What every form of AdaFace takes, and the margin of each row."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..checks import check_choice, check_number, check_reduction
from ..shared import cosine_heads
from . import lengths

#: The derivative of the angle's cosine as its repository clips it, and the slope 1.
RULES = ("true", "detached")
#: How near to 0 and pi the angle comes; added to the standard deviation too.
EPS = 1e-3


def adaface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    mean: Tensor | float,
    std: Tensor | float,
    *,
    scale: Tensor | float = 64.0,
    margin: float = 0.4,
    h: float = 0.333,
    rule: str = "true",
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D) and class_weights (C x D) of any length, labels (B, int64 in [0, C)), mean
    and std of one number; what comes back has the margins of the rows (1 x B, float64)."""
    tensors = cosine_heads.arguments(embeddings, labels, class_weights, scale)
    mean = cosine_heads.check_single("mean", mean, embeddings)
    std = cosine_heads.check_single("std", std, embeddings)
    margin, h = check_margin(margin), check_number("h", h, 0)
    check_choice("rule", rule, RULES)
    check_reduction(reduction)
    return *tensors, row_margins(embeddings, mean, std, margin, h), margin, rule, reduction


def check_margin(margin: float) -> float:
    """Python's own of m in [0, pi]."""
    return check_number("margin", margin, 0, high=math.pi)


@torch.no_grad()
def row_margins(
    embeddings: Tensor, mean: Tensor | float, std: Tensor | float, margin: float, h: float
) -> Tensor:
    """m times each row's standardised length (1 x B, float64): what is taken off its angle, and off
    the cosine beside m. It counts as a constant."""
    mean, std = (one.double() if isinstance(one, Tensor) else one for one in (mean, std))
    standard_B = h * (lengths.clipped(embeddings) - mean) / (std + EPS)
    return margin * standard_B.clamp(-1, 1)[None]
