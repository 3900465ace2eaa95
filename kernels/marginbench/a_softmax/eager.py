"""A-Softmax in PyTorch with its backward written by hand: one B x C buffer, three products.

The buffer starts as the logits, becomes the softmax over the other classes in place, and takes the
margin's slope as the target's entry. Backward only reads it, so it can run twice; upstream
gradients scale the B x D operands, never the buffer. The margin itself touches B numbers.

B batch, D dimension, C classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..shared.forms import of_terms
from ..shared.lengths import along_own, inverse_lengths
from ..shared.once import differentiable_once
from ..shared.reduction import wide
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
    plain_B: Tensor, length_B: Tensor, m: int, annealing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The target's logit with the margin, f(a, n) of a = ||x|| cos theta (the plain logit) and
    n = ||x||, with df/da and (df/dn) / n.

    Where n = 0, psi's part counts as constant.
    """
    if m == 1:
        return plain_B, torch.ones_like(plain_B), torch.zeros_like(plain_B)
    some_B = length_B > 0
    divisor_B = length_B.where(some_B, 1)
    cosine_B = plain_B / divisor_B
    psi_B, slope_B = psi(cosine_B, m)
    total = 1 + annealing
    target_B = (annealing * plain_B + length_B * psi_B) / total
    by_plain_B = (annealing + slope_B * some_B) / total
    by_length_B = (psi_B - cosine_B * slope_B) * some_B / (divisor_B * total)
    return target_B, by_plain_B, by_length_B


class _ASoftmax(torch.autograd.Function):
    """Terms (B,) of the loss in float32 or float64; gradients for embeddings and weights.

    With r = log sum_{j != y} exp(l_j - f) a term is log(1 + e^r), and its derivative, the sigmoid
    of r, is a factor of all the row's gradients: it joins the upstream gradient. So p - 1, which is
    0 where a row is confident, is never formed.
    """

    @staticmethod
    def forward(ctx, x_BD, y_B, w_CD, m, annealing):
        inverse_C = inverse_lengths(w_CD)
        unit_CD = (w_CD * inverse_C[:, None]).to(w_CD.dtype)
        plain_B, length_B = along_own(x_BD, w_CD.index_select(0, y_B))
        target_B, by_plain_B, by_length_B = target_with_margin(plain_B, length_B, m, annealing)

        others_BC = wide(torch.mm(x_BD, unit_CD.T))
        dtype = others_BC.dtype
        if m == 1 and dtype == x_BD.dtype:
            # Out of the same product: rounded in another way, it would differ from logits that
            # equal it. (16-bit products keep two or three digits.)
            target_B = others_BC.gather(1, y_B[:, None])[:, 0]
        # The lowest number, not minus infinity, which makes NaN where there is no other class.
        others_BC.scatter_(1, y_B[:, None], torch.finfo(dtype).min)
        top_B = others_BC.amax(dim=1)
        torch.softmax(others_BC, dim=1, out=others_BC)
        # The largest probability is at least 1/C, so its logarithm is always safe.
        rest_B = top_B.double() - target_B - others_BC.amax(dim=1).log()
        terms_B = torch.logaddexp(rest_B, rest_B.new_zeros(())).to(dtype)
        d_logits_BC = others_BC.scatter_(1, y_B[:, None], -by_plain_B.to(dtype)[:, None])
        rows = (rest_B.sigmoid().to(dtype), by_length_B.to(dtype), length_B.to(dtype))
        ctx.save_for_backward(x_BD, unit_CD, inverse_C, d_logits_BC.to(x_BD.dtype), *rows)
        return terms_B

    @staticmethod
    @differentiable_once
    def backward(ctx, upstream_B):
        x_BD, unit_CD, inverse_C, d_logits_BC, miss_B, by_length_B, length_B = ctx.saved_tensors
        share_B = upstream_B * miss_B
        d_x_BD = d_w_CD = None
        if ctx.needs_input_grad[0]:
            inner_BD = wide(torch.mm(d_logits_BC, unit_CD))
            inner_BD = inner_BD.addcmul(wide(x_BD), by_length_B[:, None], value=-1)
            d_x_BD = (inner_BD * share_B[:, None]).to(x_BD.dtype)
        if ctx.needs_input_grad[2]:
            # In units in which the product's entries stay below 2048 m^2, so that float16 does not
            # overflow, and of what goes into it as little as can be underflows.
            unit = ((share_B * length_B).abs().sum() / 2048).clamp(min=1e-30)
            scaled_BD = (x_BD * (share_B / unit)[:, None]).to(x_BD.dtype)
            d_unit_CD = wide(torch.mm(d_logits_BC.T, scaled_BD))
            d_w_CD = _off_direction(d_unit_CD, wide(unit_CD), inverse_C * unit).to(x_BD.dtype)
        return d_x_BD, None, d_w_CD, None, None


def _off_direction(d_unit_CD: Tensor, unit_CD: Tensor, scale_C: Tensor) -> Tensor:
    """Backward of row / ||row||: the part off the row's direction, scaled; uses up its input."""
    along_C = torch.einsum("cd,cd->c", d_unit_CD, unit_CD)
    return d_unit_CD.addcmul_(unit_CD, along_C[:, None], value=-1).mul_(scale_C[:, None])


@of_terms(arguments.a_softmax)
def a_softmax(embeddings, labels, class_weights, m, annealing):
    """Where ||x|| = 0, psi's part has the gradient 0; a class weight of norm 0 has the direction 0
    and the gradient 0. Differentiable once."""
    return _ASoftmax.apply(embeddings, labels, class_weights, m, annealing)
