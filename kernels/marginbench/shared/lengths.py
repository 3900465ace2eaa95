"""Norms of rows over the whole range of float32: their squares may overflow or underflow."""

from __future__ import annotations

import torch
from torch import Tensor

from .reduction import wide


def inverse_lengths(rows_ND: Tensor) -> Tensor:
    """1 / ||row||, 0 for a row of zeros; float32 (float64 for float64), for lengths of 1e-37 to
    1e37: of one that is shorter it is infinite.

    Rows are divided by their largest magnitude before they are squared: on a CPU only where some
    length asks for it, which saves the ordinary case two passes.
    """
    dtype = wide(rows_ND[:0]).dtype
    length_N = torch.linalg.vector_norm(rows_ND, dim=1, dtype=dtype)
    if not _ordinary(length_N):
        largest_N = torch.linalg.vector_norm(rows_ND, torch.inf, dim=1, dtype=dtype)
        divisor_N = largest_N.where(largest_N > 0, 1)
        scaled_ND = wide(rows_ND) / divisor_N[:, None]
        length_N = torch.linalg.vector_norm(scaled_ND, dim=1) * divisor_N
    return length_N.reciprocal().masked_fill_(length_N == 0, 0)


def _ordinary(length_N: Tensor) -> bool:
    """Whether no sum of squares has overflowed, and what underflowed is below its rounding. False
    where the values can't be read without waiting for a GPU, or while tracing."""
    if length_N.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    limits = torch.finfo(length_N.dtype)
    shortest, longest = length_N.aminmax()
    return float(shortest) > limits.tiny**0.5 / limits.eps and float(longest) < torch.inf


def along_own(x_BD: Tensor, own_BD: Tensor, unit_weights: bool = True) -> tuple[Tensor, Tensor]:
    """The target's plain logit x . w (x . w / ||w|| for ``unit_weights``) of each row and its own
    class weight, and ||x||, in float64.

    A margin's slope is up to m^2 and hangs on the last digits of the cosine where it is flat. And
    float64 holds the squares of all float32.
    """
    x_BD, own_BD = x_BD.double(), own_BD.double()
    plain_B = (x_BD * own_BD).sum(dim=1)
    if unit_weights:
        length_B = torch.linalg.vector_norm(own_BD, dim=1)
        plain_B.div_(length_B.clamp_(min=torch.finfo(torch.float64).tiny))
    return plain_B, torch.linalg.vector_norm(x_BD, dim=1)


def scaled(embeddings: Tensor, scale_B: Tensor) -> Tensor:
    """Each row times its scale, in float64: where a margin is steep, the last digits of a direction
    count. Differentiable by both."""
    return embeddings.double() * scale_B.double()[:, None]


def over_lengths(embeddings: Tensor, scale: Tensor | float) -> Tensor:
    """scale / ||x|| of each row (float64), differentiable by both; 0, with the gradient 0, for a
    row of zeros. Times its row it is the row of a head whose embeddings count by direction."""
    length_B = torch.linalg.vector_norm(embeddings.double(), dim=1)
    some_B = length_B > 0
    return scale * (some_B / length_B.where(some_B, 1))
