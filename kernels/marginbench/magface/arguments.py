"""What every form of MagFace takes, and what goes by an embedding's length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import InputError, check_choice, check_number, check_reduction
from ..shared import cosine_heads

#: The paper's equation, and what its repository trains with.
RULES = ("true", "easy")


@dataclass(frozen=True)
class Lengths:
    """The range of lengths, the margins at its ends, and the weight of the regulariser."""

    l_a: float
    u_a: float
    l_m: float
    u_m: float
    lambda_g: float

    @classmethod
    def checked(cls, l_a: float, u_a: float, l_m: float, u_m: float, lambda_g: float) -> Lengths:
        """0 < l_a < u_a, 0 <= l_m <= u_m <= pi, lambda_g >= 0, all finite."""
        l_a = check_number("l_a", l_a, 0, strict=True)
        u_a = check_number("u_a", u_a, 0, strict=True)
        if u_a <= l_a:
            raise InputError("u_a", f"a number above l_a, which is {l_a:g}", repr(u_a))
        l_m = check_number("l_m", l_m, 0, high=math.pi)
        u_m = check_number("u_m", u_m, 0, high=math.pi)
        if u_m < l_m:
            raise InputError("u_m", f"a number from l_m on, which is {l_m:g}", repr(u_m))
        return cls(l_a, u_a, l_m, u_m, check_number("lambda_g", lambda_g, 0))

    def clamped(self, embeddings: Tensor) -> Tensor:
        """a (B, float64): with no gradient where it is clamped."""
        length_B = torch.linalg.vector_norm(embeddings.double(), dim=1)
        return length_B.clamp(self.l_a, self.u_a)

    def margins(self, a_B: Tensor) -> Tensor:
        """m(a), as one margin a row (1 x B)."""
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        return (self.l_m + slope * (a_B - self.l_a))[None]

    def added(self, a_B: Tensor) -> Tensor:
        """The regulariser of each row."""
        return self.lambda_g * (a_B / self.u_a**2 + 1 / a_B)


def magface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float = 64.0,
    l_a: float = 10.0,
    u_a: float = 110.0,
    l_m: float = 0.45,
    u_m: float = 0.8,
    lambda_g: float = 35.0,
    rule: str = "true",
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D), class_weights (C x D) of any length, labels (B, int64 in [0, C))."""
    tensors = cosine_heads.arguments(embeddings, labels, class_weights, scale)
    lengths = Lengths.checked(l_a, u_a, l_m, u_m, lambda_g)
    check_choice("rule", rule, RULES)
    check_reduction(reduction)
    return *tensors, lengths, rule, reduction
