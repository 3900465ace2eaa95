"""Margins on the target's logit, in PyTorch, on B numbers in float64: what a head of the margin
family puts into the shared linear + log-sum-exp.

A margin function is ``(plain_B, length_B, margins_PB) -> (target_B, slope_B, radial_B,
by_margins_PB)``: from the target's plain logit (length cos theta), the length of the scaled
embedding and P margins a row (or None) the logit with the margin, its derivative by the plain one,
its derivative by the length over the length, and its derivative by each of the margins (or None).

All margins here are length g(cos theta): `of_cosine` makes a margin function of g, which is
``(cosine_B, *margins) -> (value_B, slope_B, by_margins)``. A margin is a number, or B of them.

theta angle, B batch, P margins a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Margin = float | Tensor
Margined = tuple[Tensor, Tensor, Tensor, Tensor | None]
MarginFunction = Callable[[Tensor, Tensor, Tensor | None], Margined]
OfCosine = Callable[..., tuple[Tensor, Tensor, Sequence[Tensor]]]

# Below an angle of 4e-8 a cosine in float64 holds no angle any more.
NO_ANGLE = 8 * torch.finfo(torch.float64).eps


def of_cosine(g: OfCosine, *margins: float) -> MarginFunction:
    """The margin function length g(cos theta), of these margins or, without, of a row's own.

    An embedding of length 0 has no angle: its logit is 0 whatever the margin, and constant.
    """

    def with_margin(plain_B: Tensor, length_B: Tensor, margins_PB: Tensor | None) -> Margined:
        some_B = length_B > 0
        divisor_B = length_B.where(some_B, 1)
        cosine_B = plain_B / divisor_B
        value_B, slope_B, by_margins = g(cosine_B, *(margins if margins_PB is None else margins_PB))
        radial_B = (value_B - cosine_B * slope_B) * some_B / divisor_B
        by_PB = None if margins_PB is None else torch.stack(tuple(by_margins)) * length_B
        return length_B * value_B, slope_B * some_B, radial_B, by_PB

    return with_margin


def less(cosine_B: Tensor, margin: Margin) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos theta - m."""
    one_B = torch.ones_like(cosine_B)
    return cosine_B - margin, one_B, (-one_B,)


def turned(cosine_B: Tensor, margin: Margin) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(theta + m) = cos theta cos m - sin theta sin m, with its true slope
    sin(theta + m) / sin theta.

    The slope has no bound; with the direction that it belongs to, across the class weight and sin
    theta long, it gives a gradient of at most 1. Where sin theta is 0 there is no such direction,
    and cos m stays of the slope.
    """
    sine_B, cos_m, sin_m = sine(cosine_B), _cos(margin), _sin(margin)
    some_B = sine_B > 0
    steep_B = (cosine_B / sine_B.where(some_B, 1)) * some_B
    slope_B = cos_m + steep_B * sin_m
    return cosine_B * cos_m - sine_B * sin_m, slope_B, (-(sine_B * cos_m + cosine_B * sin_m),)


def guarded(cosine_B: Tensor, margin: Margin) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(theta + m), from theta = pi - m on cos theta - m sin m: falling over all angles."""
    value_B, slope_B, (by_margin_B,) = turned(cosine_B, margin)
    sin_m, cos_m = _sin(margin), _cos(margin)
    inside_B = cosine_B >= -cos_m
    by_margin_B = by_margin_B.where(inside_B, -(sin_m + margin * cos_m))
    value_B = value_B.where(inside_B, cosine_B - margin * sin_m)
    return value_B, slope_B.where(inside_B, 1), (by_margin_B,)


def detached(cosine_B: Tensor, margin: Margin) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(theta + m) with the slope 1: the margin's share of the logit counts as a constant."""
    value_B, slope_B, _ = turned(cosine_B, margin)
    return value_B, torch.ones_like(slope_B), (torch.zeros_like(value_B),)


def easy(cosine_B: Tensor, margin: Margin) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(theta + m) below a right angle, cos theta from there on."""
    value_B, slope_B, (by_margin_B,) = turned(cosine_B, margin)
    near_B = cosine_B > 0
    return value_B.where(near_B, cosine_B), slope_B.where(near_B, 1), (by_margin_B * near_B,)


def clipped(
    cosine_B: Tensor, margin: Margin, within: float = 1e-4
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(theta + m) with cos theta clipped to 1 - ``within`` in magnitude, and the angle with the
    margin to ``within`` from 0 and pi; where either is clipped, it counts as a constant."""
    inside_B = cosine_B.abs() <= 1 - within
    value_B, slope_B, (by_margin_B,) = turned(cosine_B.clamp(within - 1, 1 - within), margin)
    angle_B = torch.atan2(sine(cosine_B), cosine_B)
    angle_B = angle_B.clamp(math.acos(1 - within), math.acos(within - 1)) + margin
    free_B = (angle_B >= within) & (angle_B <= math.pi - within)
    end_B = angle_B.clamp(within, math.pi - within).cos()
    return value_B.where(free_B, end_B), slope_B * (inside_B & free_B), (by_margin_B * free_B,)


def combined(
    cosine_B: Tensor, m1: Margin, m2: Margin, m3: Margin
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(m1 theta + m2) - m3; where sin theta is 0 the slope keeps what has a limit, as that of
    `turned` does: m1^2 cos m2 at theta = 0, nothing at pi."""
    sine_B = sine(cosine_B)
    angle_B = torch.atan2(sine_B, cosine_B)
    turned_B = m1 * angle_B + m2
    fall_B = turned_B.sin()
    limit_B = (cosine_B > 0).to(cosine_B.dtype) * m1 * _cos(m2)
    slope_B = m1 * torch.where(sine_B > 0, fall_B / sine_B.where(sine_B > 0, 1), limit_B)
    return turned_B.cos() - m3, slope_B, (-angle_B * fall_B, -fall_B, -torch.ones_like(fall_B))


def multiplied(cosine_B: Tensor, margin: Margin) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """cos(min(m theta, pi)): from theta = pi / m on -1, and constant. Of m from 1 on the slope is
    at most m^2."""
    value_B, slope_B, (by_margin_B, *_) = combined(cosine_B, margin, 0.0, 0.0)
    inside_B = margin * torch.atan2(sine(cosine_B), cosine_B) < math.pi
    return value_B.where(inside_B, -1), slope_B * inside_B, (by_margin_B * inside_B,)


def multiplied_detached(
    cosine_B: Tensor, margin: Margin
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """`multiplied` with the slope 1: the margin's share of the logit counts as a constant."""
    value_B, slope_B, _ = multiplied(cosine_B, margin)
    return value_B, torch.ones_like(slope_B), (torch.zeros_like(value_B),)


def sine(cosine_B: Tensor) -> Tensor:
    """sin theta, 0 where the cosine holds no angle."""
    square_B = 1 - cosine_B.square()
    return square_B.where(square_B > NO_ANGLE, 0).sqrt()


def _cos(margin: Margin) -> Margin:
    return margin.cos() if isinstance(margin, Tensor) else math.cos(margin)


def _sin(margin: Margin) -> Margin:
    return margin.sin() if isinstance(margin, Tensor) else math.sin(margin)
