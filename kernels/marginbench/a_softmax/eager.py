"""A-Softmax in PyTorch: the shared head over unit weights, and the angular margin."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ..shared import linear_lse_eager
from ..shared.forms import of_terms
from ..shared.target_margins import Margined, MarginFunction
from . import arguments


def psi(cosine: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """psi(theta) and its derivative by cos theta, both without an angle; m from 2 on.

    psi = (-1)^k T_m - 2k and psi' = (-1)^k m U_{m-1}, Chebyshev polynomials of the first and the
    second kind (Liu et al. 2017, equation 7, with cos(m theta) = T_m(cos theta)). Both are
    continuous where k steps, so that rounding there does no harm.
    """
    twice = 2 * cosine
    first, first_before = twice * cosine - 1, cosine
    second, second_before = twice, torch.ones_like(twice)
    k = (cosine <= math.cos(math.pi / m)).to(cosine.dtype)
    for i in range(2, m):
        first, first_before = twice * first - first_before, first
        second, second_before = twice * second - second_before, second
        k += cosine <= math.cos(i * math.pi / m)
    sign = 1 - 2 * (k % 2)
    return sign * first - 2 * k, sign * m * second


def target_with_margin(
    plain_B: Tensor, length_B: Tensor, margins_PB: Tensor | None = None, *, m: int, annealing: float
) -> Margined:
    """The margin function (`shared.target_margins`) of m from 2 on: (annealing plain + length psi)
    / (1 + annealing). Where the length is 0, psi's part counts as constant."""
    some_B = length_B > 0
    divisor_B = length_B.where(some_B, 1)
    cosine_B = plain_B / divisor_B
    psi_B, slope_B = psi(cosine_B, m)
    total = 1 + annealing
    target_B = (annealing * plain_B + length_B * psi_B) / total
    by_plain_B = (annealing + slope_B * some_B) / total
    by_length_B = (psi_B - cosine_B * slope_B) * some_B / (divisor_B * total)
    return target_B, by_plain_B, by_length_B, None


def margin_function(m: int, annealing: float) -> MarginFunction | None:
    """None for m = 1, which has no margin."""
    return None if m == 1 else functools.partial(target_with_margin, m=m, annealing=annealing)


@of_terms(arguments.a_softmax)
def a_softmax(embeddings, labels, class_weights, m, annealing):
    """Where ||x|| = 0, psi's part has the gradient 0; a class weight of norm 0 has the direction 0
    and the gradient 0. Differentiable once."""
    return linear_lse_eager.terms(
        embeddings, labels, class_weights, margin_function=margin_function(m, annealing)
    )
