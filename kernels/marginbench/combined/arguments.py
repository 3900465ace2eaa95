"""What every form of the combined margin takes."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from ..checks import check_number, check_reduction
from ..shared import cosine_heads

# Of m1 pi + m2, beyond its rounding.
_ROUNDING = 1e-9


def check_margins(m1: float, m2: float, m3: float) -> tuple[float, float, float]:
    """Python's own of m1 > 0, m2 in [0, pi] and m3 >= 0. Warns where the target's logit rises with
    the angle: by Python's own filter once for each set of margins."""
    m1 = check_number("m1", m1, 0, strict=True)
    m2 = check_number("m2", m2, 0, high=math.pi)
    m3 = check_number("m3", m3, 0)
    if m1 * math.pi + m2 > math.pi + _ROUNDING and not torch.compiler.is_compiling():
        first = (math.pi - m2) / m1
        warnings.warn(
            f"m1, m2: with m1 = {m1:g} and m2 = {m2:g} the target's logit rises with the angle from"
            f" {first:.4g} rad ({math.degrees(first):.4g} degrees) on; a row that is as far from "
            "its class weight as that is pushed further away",
            UserWarning,
            stacklevel=1,  # one place for all calls: a step must not warn again
        )
    return m1, m2, m3


def combined_margin(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    m1: float = 1.0,
    m2: float = 0.3,
    m3: float = 0.2,
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D) and class_weights (C x D) of any length, labels (B, int64 in [0, C))."""
    tensors = cosine_heads.arguments(embeddings, labels, class_weights, scale)
    margins = check_margins(m1, m2, m3)
    check_reduction(reduction)
    return *tensors, margins, reduction
