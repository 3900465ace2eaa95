"""Unit class weights + log-sum-exp with a margin on the target's logit in plain PyTorch, with its
backward written by hand: one B x C buffer, three products.

The same function as `linear_lse_tiled` of unit weights. The buffer starts as the logits, becomes
the softmax over the other classes in place, and takes the margin's slope as the target's entry.
Backward only reads it, so it can run twice; upstream gradients scale the B x D operands, never the
buffer. The margin itself touches B numbers.

B batch, D dimension, C classes, P margins a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .lengths import along_own, inverse_lengths, scaled
from .once import differentiable_once
from .reduction import wide
from .steep import pulls
from .target_margins import MarginFunction


def terms(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    scale_B: Tensor | None = None,
    margins_PB: Tensor | None = None,
    *,
    margin_function: MarginFunction | None = None,
    steep: bool = False,
) -> Tensor:
    """The terms (B, float32, or float64 for float64 class weights), differentiable once.

    embeddings (B x D), labels (B, int64) and class_weights (C x D) of any length. ``scale_B``
    multiplies the rows' logits, ``margins_PB`` goes to the margin function; both are
    differentiable. ``steep``: the margin's slope has no bound (`steep`); else 16 bits must hold it.
    """
    x_BD = embeddings if scale_B is None else scaled(embeddings, scale_B)
    return _Terms.apply(x_BD, labels, class_weights, margins_PB, margin_function, steep)


class _Terms(torch.autograd.Function):
    """With r = log sum_{j != y} exp(l_j - f) a term is log(1 + e^r), and its derivative, the
    sigmoid of r, is a factor of all the row's gradients: it joins the upstream gradient. So p - 1,
    which is 0 where a row is confident, is never formed.

    Products are made in the class weights' dtype, whatever the embeddings' is.
    """

    @staticmethod
    def forward(ctx, x_BD, y_B, w_CD, margins_PB, margin_function, steep):
        inverse_C = inverse_lengths(w_CD)
        unit_CD = (w_CD * inverse_C[:, None]).to(w_CD.dtype)
        own_BD = w_CD.index_select(0, y_B)
        plain_B, length_B = along_own(x_BD, own_BD)
        by_margins_PB = None
        if margin_function is None:
            target_B, slope_B = plain_B, torch.ones_like(plain_B)
            radial_B = torch.zeros_like(plain_B)
        else:
            target_B, slope_B, radial_B, by_margins_PB = margin_function(
                plain_B, length_B, margins_PB
            )
        others_BC = wide(torch.mm(x_BD.to(w_CD.dtype), unit_CD.T))
        dtype = others_BC.dtype
        if margin_function is None and dtype == w_CD.dtype:
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
        entry_B = torch.zeros_like(slope_B) if steep else -slope_B
        d_logits_BC = others_BC.scatter_(1, y_B[:, None], entry_B.to(dtype)[:, None])
        rows = (rest_B.sigmoid().to(dtype), radial_B.to(dtype), length_B.to(dtype))
        alone = (y_B, own_BD, slope_B, radial_B) if steep else (None,) * 4
        ctx.save_for_backward(
            x_BD, unit_CD, inverse_C, d_logits_BC.to(w_CD.dtype), *rows, *alone, by_margins_PB
        )
        return terms_B

    @staticmethod
    @differentiable_once
    def backward(ctx, upstream_B):
        x_BD, unit_CD, inverse_C, d_logits_BC, miss_B, radial_B, length_B, *more = ctx.saved_tensors
        y_B, own_BD, slope_B, exact_radial_B, by_margins_PB = more
        share_B = upstream_B * miss_B
        d_x_BD = d_w_CD = d_margins_PB = None
        if y_B is not None:
            by_x_BD, by_own_BD = pulls(x_BD, own_BD, slope_B, exact_radial_B)
        if ctx.needs_input_grad[0]:
            inner_BD = wide(torch.mm(d_logits_BC, unit_CD))
            if y_B is None:
                inner_BD = inner_BD.addcmul(x_BD.to(inner_BD.dtype), radial_B[:, None], value=-1)
            else:
                inner_BD = inner_BD - by_x_BD
            d_x_BD = (inner_BD * share_B[:, None]).to(x_BD.dtype)
        if ctx.needs_input_grad[2]:
            # In units in which the product's entries stay below 2048 m^2, so that float16 does not
            # overflow, and of what goes into it as little as can be underflows.
            unit = ((share_B * length_B).abs().sum() / 2048).clamp(min=1e-30)
            scaled_BD = (x_BD * (share_B / unit)[:, None]).to(unit_CD.dtype)
            d_unit_CD = wide(torch.mm(d_logits_BC.T, scaled_BD))
            d_w_CD = _off_direction(d_unit_CD, wide(unit_CD), inverse_C * unit)
            if y_B is not None:
                d_w_CD.index_add_(0, y_B, -(by_own_BD * share_B[:, None]).to(d_w_CD.dtype))
            d_w_CD = d_w_CD.to(unit_CD.dtype)
        if by_margins_PB is not None and ctx.needs_input_grad[3]:
            d_margins_PB = -share_B * by_margins_PB
        return d_x_BD, None, d_w_CD, d_margins_PB, None, None


def _off_direction(d_unit_CD: Tensor, unit_CD: Tensor, scale_C: Tensor) -> Tensor:
    """Backward of row / ||row||: the part off the row's direction, scaled; uses up its input."""
    along_C = torch.einsum("cd,cd->c", d_unit_CD, unit_CD)
    return d_unit_CD.addcmul_(unit_CD, along_C[:, None], value=-1).mul_(scale_C[:, None])
