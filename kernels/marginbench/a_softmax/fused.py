"""A-Softmax in Triton: shared linear + log-sum-exp over unit weights, and the angular margin."""

from __future__ import annotations

import triton
import triton.language as tl

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from . import arguments


@triton.jit
def psi_of(cosine, M: tl.constexpr):
    """psi(theta) = (-1)^k T_M - 2k and its derivative by cos theta, (-1)^k M U_{M-1}, for M > 1.

    T and U are Chebyshev polynomials of the first and the second kind (Liu et al. 2017, equation
    7, with cos(m theta) = T_m(cos theta)): no angle, so no infinite slope at the poles. Both are
    continuous where k steps, at cos(i pi / M).
    """
    if M == 2:
        sign = tl.where(cosine <= 0.0, -1.0, 1.0)
        psi = sign * (2.0 * cosine * cosine - 1.0) + (sign - 1.0)
        slope = sign * 4.0 * cosine
    elif M == 3:
        k = (cosine <= 0.5).to(cosine.dtype) + (cosine <= -0.5).to(cosine.dtype)
        sign = tl.where(k == 1.0, -1.0, 1.0)
        square = cosine * cosine
        psi = sign * (4.0 * square - 3.0) * cosine - 2.0 * k
        slope = sign * (12.0 * square - 3.0)
    else:
        half_root = 0.7071067811865476
        k = (cosine <= half_root).to(cosine.dtype) + (cosine <= 0.0).to(cosine.dtype)
        k += (cosine <= -half_root).to(cosine.dtype)
        sign = tl.where((k == 1.0) | (k == 3.0), -1.0, 1.0)
        square = cosine * cosine
        psi = sign * (8.0 * square * (square - 1.0) + 1.0) - 2.0 * k
        slope = sign * (32.0 * square - 16.0) * cosine
    return psi, slope


@triton.jit
def angular_margin(plain, length, annealing, second, third, MARGIN: tl.constexpr):
    """target, slope and radial of (annealing plain + length psi) / (1 + annealing).

    plain is ||x|| cos theta and length ||x||. Where length is 0, psi's part counts as constant.
    """
    nowhere = length == 0.0
    divisor = tl.where(nowhere, 1.0, length)
    cosine = plain / divisor
    psi, by_cosine = psi_of(cosine, MARGIN)
    total = 1.0 + annealing
    target = (annealing * plain + length * psi) / total
    slope = (annealing + tl.where(nowhere, 0.0, by_cosine)) / total
    radial = tl.where(nowhere, 0.0, (psi - cosine * by_cosine) / (divisor * total))
    return target, slope, radial


modified_softmax = Head("modified_softmax", None, unit_weights=True)
head = Head("a_softmax", angular_margin, unit_weights=True)


@of_terms(arguments.a_softmax, on=check_fused)
def a_softmax(embeddings, labels, class_weights, m, annealing):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    if m == 1:
        return modified_softmax(embeddings, labels, class_weights)
    return head(embeddings, labels, class_weights, margin=m, parameters=(annealing,))
