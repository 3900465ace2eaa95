"""Makes a loss over a batch's pairs differentiable, given its value and gradient in one sweep."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .once import differentiable_once
from .reduction import counted, reduce, wide
from .row_distances import check_held

# sweep(embeddings, labels, weights_B or None, gradient, **options) returns terms (B), the divisor
# of their mean, and, if ``gradient``, that of sum_i weights_i terms_i by the embeddings.
Sweep = Callable[..., tuple[Tensor, Tensor | int, Tensor | None]]


def apply(
    sweep: Sweep, embeddings: Tensor, labels: Tensor, reduction: str, **options: Any
) -> Tensor:
    """The reduced terms of the sweep: float32, or float64 for float64 embeddings.

    For ``sum`` and ``mean`` the gradient is made during the forward pass, while the distances are
    in cache, and backward only scales it. For ``none`` its weights come with the backward pass,
    which sweeps again. Once differentiable; B x B outlives neither pass.
    """
    with_options = functools.partial(sweep, **options)
    return _PairwiseLoss.apply(embeddings, labels, with_options, reduction)


class _PairwiseLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, embeddings: Tensor, labels: Tensor, sweep: Sweep, reduction: str
    ) -> Tensor:
        ctx.sweep, ctx.reduction, ctx.dtype = sweep, reduction, embeddings.dtype
        # Autocast would round the products of float32 embeddings to 16 bits.
        with torch.autocast(embeddings.device.type, enabled=False):
            gradient = ctx.needs_input_grad[0] and reduction != "none"
            terms_B, divisor, gradient_BD = sweep(embeddings, labels, None, gradient)
        # On a GPU nothing is checked for a NaN: it makes the loss NaN, mining or not.
        if embeddings.device.type != "cpu":
            terms_B = terms_B + embeddings.sum(dtype=terms_B.dtype) * 0
        if reduction == "none":
            ctx.save_for_backward(embeddings, labels)
        elif gradient_BD is not None:
            if reduction == "mean":
                gradient_BD /= counted(divisor)
            ctx.save_for_backward(gradient_BD)
        # Float64 terms of float32 embeddings: rounded last.
        value = reduce(terms_B, reduction, divisor).to(wide(embeddings[:0]).dtype)
        if terms_B.dtype == torch.float64:
            check_held("embeddings", value, lambda: _diameter(embeddings.detach().double()))
        return value

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        if ctx.reduction != "none":
            (gradient_BD,) = ctx.saved_tensors
            return (gradient_BD * upstream).to(ctx.dtype), None, None, None
        embeddings, labels = ctx.saved_tensors
        with torch.autocast(embeddings.device.type, enabled=False):
            _, _, gradient_BD = ctx.sweep(embeddings, labels, upstream, True)
        return gradient_BD.to(ctx.dtype), None, None, None


def _diameter(x_BD: Tensor) -> Tensor:
    return torch.cdist(x_BD, x_BD).amax()
