"""What the heads over cosines share: embeddings and class weights count by their direction, a scale
makes logits of the cosines, and the target's has a margin.

Their forms are the shared linear + log-sum-exp of unit weights, with the rows' scales s / ||x||
(`lengths.over_lengths`): that embeddings are normalised, and that a scale is learnt, is then plain
autograd on B numbers.

B batch, D dimension, C classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import InputError, check_device, check_finite, check_head, check_matrix, check_number
from . import head_options
from .lengths import over_lengths, scaled
from .mixed import as_linear
from .modules import Head
from .once import differentiable_once
from .reduction import wide
from .target_margins import MarginFunction


def check_scale(scale: Tensor | float, embeddings: Tensor | None = None) -> Tensor | float:
    """`check_single` of the scale, which is above 0."""
    return check_single("scale", scale, embeddings, strict=True)


def check_single(
    name: str, value: Tensor | float, embeddings: Tensor | None = None, *, strict: bool = False
) -> Tensor | float:
    """A finite number from 0 on, or (``strict``) above it; or a tensor of one, of any float dtype,
    on the embeddings' device (its value is checked on the CPU alone)."""
    if not isinstance(value, Tensor):
        return check_number(name, value, 0, strict=strict)
    if value.shape != () or not value.is_floating_point():
        raise InputError(
            name, "a number, or a tensor of a single one",
            f"shape {tuple(value.shape)}, {value.dtype}",
        )  # fmt: skip
    if embeddings is not None:
        check_device(name, value, embeddings)
    check_finite(**{name: value})
    if value.device.type == "cpu" and not torch.compiler.is_compiling():
        check_number(name, float(value.detach()), 0, strict=strict)
    return value


def arguments(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, scale: Tensor | float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The checked arguments that every such head starts with: embeddings (B x D), labels (B),
    class_weights (C x D), and the scale of each row (B, float64)."""
    embeddings, class_weights = as_linear(embeddings, class_weights)
    check_head(embeddings, labels, class_weights)
    scale = check_scale(scale, embeddings)
    return embeddings, labels, class_weights, over_lengths(embeddings, scale)


def loss(
    terms: Callable[..., Tensor],
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: Tensor | float,
    margin_function: Callable[..., MarginFunction] | None = None,
    margins: Callable[..., Tensor] | None = None,
    margin_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Tensor:
    """`head_options.loss` of such a head, of which ``terms`` is the loss in one of its forms. The
    ``margin_options`` are what it takes beside the scale, and what makes the margin function;
    ``margins(embeddings, labels, class_weights, **margin_options)`` the margins of each row (P x
    B), where they differ."""
    own = margin_options or {}

    def rows() -> Tensor:
        return scaled(embeddings, over_lengths(embeddings, scale))

    def target(labels: Tensor) -> Tensor:
        x_BD = rows()
        own_BD = head_options.directions(class_weights.index_select(0, labels).double())
        plain_B, length_B = (x_BD * own_BD).sum(dim=1), torch.linalg.vector_norm(x_BD, dim=1)
        assert margin_function is not None
        margins_PB = None if margins is None else margins(embeddings, labels, class_weights, **own)
        return _WithMargin.apply(plain_B, length_B, margins_PB, margin_function(**own))

    return head_options.loss(
        functools.partial(terms, embeddings, class_weights=class_weights, scale=scale, **own),
        embeddings, labels, class_weights, rows=rows, unit_weights=True,
        target=None if margin_function is None else target, **options,
    )  # fmt: skip


class _WithMargin(torch.autograd.Function):
    """The target's logits (B) with the gradient that the margin function gives."""

    @staticmethod
    def forward(ctx, plain_B, length_B, margins_PB, margin_function):
        target_B, slope_B, radial_B, by_PB = margin_function(plain_B, length_B, margins_PB)
        ctx.save_for_backward(slope_B, radial_B * length_B, by_PB)
        return target_B

    @staticmethod
    @differentiable_once
    def backward(ctx, upstream_B):
        by_plain_B, by_length_B, by_PB = ctx.saved_tensors
        by_margins_PB = None if by_PB is None else upstream_B * by_PB
        return upstream_B * by_plain_B, upstream_B * by_length_B, by_margins_PB, None


class CosineHead(Head):
    """A head whose logits are a scale times cosines; ``scale`` is a number or a parameter.

    >>> from marginbench import NormFaceLoss
    >>> [name for name, _ in NormFaceLoss(16, 10, learn_scale=True).named_parameters()]
    ['class_weights', 'scale']
    """

    unit_weights = True
    scale: Tensor | float

    def __init__(
        self, dim: int, classes: int, *, scale: float, learn_scale: bool = False, **options: Any
    ) -> None:
        super().__init__(dim, classes, bias=False, **options)
        self._start = check_number("scale", scale, 0, strict=True)
        made = self.class_weights.new_full(
            (), self._start, dtype=wide(self.class_weights[:0]).dtype
        )
        self.scale = nn.Parameter(made) if learn_scale else self._start

    def reset_parameters(self) -> None:
        """Draw the class weights anew; a scale that is learnt starts again."""
        super().reset_parameters()
        scale = getattr(self, "scale", None)
        if isinstance(scale, nn.Parameter):
            nn.init.constant_(scale, self._start)

    def _seen(self, embeddings: Tensor) -> Tensor:
        check_matrix("embeddings", embeddings)
        directions_BD = head_options.directions(embeddings.double())
        return (directions_BD * self.scale).to(wide(embeddings[:0]).dtype)

    def _shown(self) -> dict[str, Any]:
        scale = self.scale
        shown = float(scale.detach()) if isinstance(scale, Tensor) else scale
        return {**super()._shown(), "scale": shown}
