"""MagFace in Triton: the shared linear + log-sum-exp of unit weights with a margin a row, on the
angle."""

from __future__ import annotations

import triton
import triton.language as tl

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from ..shared.target_angles import sine_and_cosine
from ..shared.target_margins import NO_ANGLE
from . import arguments

_EASY = tl.constexpr(arguments.RULES.index("easy"))
_NO_ANGLE = tl.constexpr(NO_ANGLE)


@triton.jit
def turned(plain, length, margin, second, third, RULE: tl.constexpr):
    """target, slope, radial and the derivative by the margin of length cos(theta + m), of the row's
    own m, as the rule has it."""
    nowhere = length == 0.0
    divisor = tl.where(nowhere, 1.0, length)
    cosine = plain / divisor
    square = 1.0 - cosine * cosine
    some = square > _NO_ANGLE
    sine = tl.sqrt(tl.where(some, square, 0.0))
    sin_m, cos_m = sine_and_cosine(margin)
    value = cosine * cos_m - sine * sin_m
    slope = cos_m + tl.where(some, cosine / tl.where(some, sine, 1.0), 0.0) * sin_m
    by_margin = -(sine * cos_m + cosine * sin_m)
    if RULE == _EASY:
        near = cosine > 0.0
        value = tl.where(near, value, cosine)
        slope = tl.where(near, slope, 1.0)
        by_margin = tl.where(near, by_margin, 0.0)
    slope = tl.where(nowhere, 0.0, slope)
    radial = tl.where(nowhere, 0.0, (value - cosine * slope) / divisor)
    return length * value, slope, radial, length * by_margin


head = Head("magface", turned, unit_weights=True, steep=True)


@of_terms(arguments.magface, on=check_fused)
def magface(embeddings, labels, class_weights, scale_B, lengths, rule):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    a_B = lengths.clamped(embeddings)
    terms_B = head(
        embeddings, labels, class_weights, scales=scale_B.float(), margins=lengths.margins(a_B)[0],
        margin=arguments.RULES.index(rule),
    )  # fmt: skip
    return terms_B + lengths.added(a_B).to(terms_B.dtype)
