"""A-Softmax in PyTorch with its backward written by hand: one B x C buffer, three products.

The buffer starts as the logits, becomes the softmax in place and then the derivative of each term
by its logits, with the margin's slope folded into the target's entry. Backward only reads it, so
it can run twice; upstream gradients scale the B x D operands, never the buffer. The margin itself
touches B numbers.

B batch, D dimension, C classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import InputError, check_head, check_number, check_reduction
from ..machines.mixed import as_linear
from ..machines.once import differentiable_once
from ..machines.reduction import reduce, wide

MARGINS = (1, 2, 3, 4)


def psi(cosine: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """psi(theta) and its derivative by cos theta, both without an angle.

    psi = (-1)^k T_m - 2k and psi' = (-1)^k m U_{m-1}, Chebyshev polynomials of the first and the
    second kind (Liu et al. 2017, equation 7, with cos(m theta) = T_m(cos theta)). Both are
    continuous where k steps, so that rounding there does no harm.
    """
    first, first_before = cosine, torch.ones_like(cosine)
    second, second_before = torch.ones_like(cosine), torch.zeros_like(cosine)
    k = torch.zeros_like(cosine)
    for i in range(1, m):
        first, first_before = 2 * cosine * first - first_before, first
        second, second_before = 2 * cosine * second - second_before, second
        k = k + (cosine <= math.cos(i * math.pi / m))
    sign = 1 - 2 * (k % 2)
    return sign * first - 2 * k, sign * m * second


def bent_target(
    straight_B: Tensor, length_B: Tensor, m: int, annealing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The target logit f(a, n) of a = ||x|| cos theta and n = ||x||, with df/da and (df/dn) / n.

    Where n = 0, psi's part counts as constant.
    """
    if m == 1:
        return straight_B, torch.ones_like(straight_B), torch.zeros_like(straight_B)
    some_B = length_B > 0
    divisor_B = length_B.where(some_B, 1)
    cosine_B = straight_B / divisor_B
    bent_B, slope_B = psi(cosine_B, m)
    total = 1 + annealing
    target_B = (annealing * straight_B + length_B * bent_B) / total
    by_straight_B = (annealing + slope_B * some_B) / total
    by_length_B = (bent_B - cosine_B * slope_B) * some_B / (divisor_B * total)
    return target_B, by_straight_B, by_length_B


class _ASoftmax(torch.autograd.Function):
    """Terms (B,) of the loss in float32 or float64; gradients for embeddings and weights."""

    @staticmethod
    def forward(ctx, x_BD, y_B, w_CD, m, annealing):
        length_C = torch.linalg.vector_norm(w_CD, dim=1, dtype=wide(w_CD[:0]).dtype)
        inverse_C = torch.where(length_C > 0, 1 / length_C, 0)
        unit_CD = (w_CD * inverse_C[:, None]).to(w_CD.dtype)
        # The target is bent from a cosine in full precision: psi's slope is up to m^2.
        x_wide_BD = wide(x_BD)
        straight_B = (x_wide_BD * wide(w_CD[y_B])).sum(dim=1) * inverse_C[y_B]
        length_B = torch.linalg.vector_norm(x_wide_BD, dim=1)
        target_B, by_straight_B, by_length_B = bent_target(straight_B, length_B, m, annealing)

        p_BC = wide(torch.mm(x_BD, unit_CD.T))
        p_BC.scatter_(1, y_B[:, None], target_B[:, None])
        top_B = p_BC.amax(dim=1)
        torch.softmax(p_BC, dim=1, out=p_BC)
        # The largest logit's probability is at least 1/C, so its logarithm is always safe.
        terms_B = top_B - target_B - p_BC.amax(dim=1).log()
        miss_B = p_BC.gather(1, y_B[:, None])[:, 0] - 1
        p_BC.scatter_(1, y_B[:, None], (miss_B * by_straight_B)[:, None])
        ctx.save_for_backward(x_BD, unit_CD, inverse_C, p_BC.to(x_BD.dtype), miss_B * by_length_B)
        return terms_B

    @staticmethod
    @differentiable_once
    def backward(ctx, upstream_B):
        x_BD, unit_CD, inverse_C, d_logits_BC, d_length_B = ctx.saved_tensors
        d_x_BD = d_w_CD = None
        if ctx.needs_input_grad[0]:
            inner_BD = wide(torch.mm(d_logits_BC, unit_CD))
            inner_BD = inner_BD.addcmul(wide(x_BD), d_length_B[:, None])
            d_x_BD = (inner_BD * upstream_B[:, None]).to(x_BD.dtype)
        if ctx.needs_input_grad[2]:
            # Shares of the upstream gradient, so that half precision neither over- nor underflows.
            total = upstream_B.abs().sum().clamp(min=torch.finfo(upstream_B.dtype).tiny)
            shares_BD = (x_BD * (upstream_B / total)[:, None]).to(x_BD.dtype)
            d_unit_CD = wide(torch.mm(d_logits_BC.T, shares_BD))
            d_w_CD = _off_direction(d_unit_CD, wide(unit_CD), inverse_C * total).to(x_BD.dtype)
        return d_x_BD, None, d_w_CD, None, None


def _off_direction(d_unit_CD: Tensor, unit_CD: Tensor, scale_C: Tensor) -> Tensor:
    """Backward of row / ||row||: the part off the row's direction, scaled; uses up its input."""
    along_C = torch.einsum("cd,cd->c", d_unit_CD, unit_CD)
    return d_unit_CD.addcmul_(unit_CD, along_C[:, None], value=-1).mul_(scale_C[:, None])


def check_arguments(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, m: int, annealing: float
) -> None:
    """What A-Softmax asks of its arguments; raises InputError naming the one at fault."""
    check_head(embeddings, labels, class_weights)
    if isinstance(m, bool) or not isinstance(m, int) or m not in MARGINS:
        raise InputError("m", "1, 2, 3 or 4", repr(m))
    check_number("annealing", annealing, 0)


def a_softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    m: int = 4,
    annealing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """A-Softmax (Liu et al. 2017, equations 5 to 7, annealing of appendix G); mean divides by B.

    The logits are ||x|| cos theta_j with class weights of unit length and no bias; the target's
    is (annealing ||x|| cos + ||x|| psi(theta)) / (1 + annealing).

    embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D) of any length; m 1, 2,
    3 or 4; annealing (lambda) >= 0. Where ||x|| = 0, psi's part has the gradient 0; a class weight
    of norm 0 has the direction 0 and the gradient 0. Differentiable once.
    Returns float32 (float64 for float64 inputs): (B,) for reduction ``none``, else a scalar.
    Raises InputError naming the argument.
    """
    embeddings, class_weights = as_linear(embeddings, class_weights)
    check_arguments(embeddings, labels, class_weights, m, annealing)
    check_reduction(reduction)
    return reduce(_ASoftmax.apply(embeddings, labels, class_weights, m, annealing), reduction)
