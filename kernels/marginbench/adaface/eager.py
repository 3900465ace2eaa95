"""AdaFace in PyTorch: the shared head over unit weights, with a margin of each row's length; and
the running statistics of the lengths."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..shared import linear_lse_eager, target_margins
from ..shared.forms import of_terms
from ..shared.reduction import wide
from ..shared.target_margins import MarginFunction
from . import arguments, lengths
from .arguments import EPS


def _true(
    cosine_B: Tensor, own_B: Tensor, *, margin: float
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(clip(theta - g, EPS, pi - EPS)) - (m + g); where it clips, the slope is 0. By its own g,
    a length's, a row has no gradient."""
    value_B, slope_B, _ = target_margins.turned(cosine_B, -own_B)
    angle_B = torch.atan2(target_margins.sine(cosine_B), cosine_B) - own_B
    inside_B = (angle_B >= EPS) & (angle_B <= math.pi - EPS)
    end_B = angle_B.clamp(EPS, math.pi - EPS).cos()
    value_B = value_B.where(inside_B, end_B) - (margin + own_B)
    return value_B, slope_B * inside_B, (torch.zeros_like(own_B),)


def _detached(
    cosine_B: Tensor, own_B: Tensor, *, margin: float
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(theta - g) - (m + g) with the slope 1."""
    value_B, slope_B, by_margins = target_margins.detached(cosine_B, -own_B)
    return value_B - (margin + own_B), slope_B, by_margins


_BY_RULE = {"true": _true, "detached": _detached}


def margin_function(margin: float, rule: str, **_: Any) -> MarginFunction:
    """length (cos(theta - g) - (m + g)) of the rows' own g, as the rule has it."""
    return target_margins.of_cosine(functools.partial(_BY_RULE[rule], margin=margin))


def margins(
    embeddings: Tensor, *_: Tensor, mean: Tensor | float, std: Tensor | float, margin: float,
    h: float, rule: str,
) -> Tensor:  # fmt: skip
    """The margin of each row (1 x B, float64)."""
    return arguments.row_margins(embeddings, mean, std, margin, h)


@of_terms(arguments.adaface)
def adaface(embeddings, labels, class_weights, scale_B, margins_PB, margin, rule):
    """An embedding of length 0 has logits of 0 and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Where theta is 0 or pi the margin has the gradient 0.
    Differentiable once."""
    return linear_lse_eager.terms(
        embeddings, labels, class_weights, scale_B, margins_PB,
        margin_function=margin_function(margin, rule), steep=True,
    )  # fmt: skip


def moved_mean(embeddings: Tensor, mean: Tensor, *, t_alpha: float = 0.01) -> Tensor:
    """The running mean after a step with these embeddings (B x D), in float32 or float64."""
    embeddings, mean, t_alpha = lengths.update(embeddings, mean, "mean", t_alpha)
    return lengths.after(mean, lengths.statistics(embeddings)[0], t_alpha).to(wide(mean).dtype)


def moved_std(embeddings: Tensor, std: Tensor, *, t_alpha: float = 0.01) -> Tensor:
    """The running standard deviation after a step with these embeddings (B x D, of two rows or
    more), in float32 or float64."""
    embeddings, std, t_alpha = lengths.update(embeddings, std, "std", t_alpha)
    return lengths.after(std, lengths.statistics(embeddings)[1], t_alpha).to(wide(std).dtype)
