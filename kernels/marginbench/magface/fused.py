"""MagFace in Triton: the shared linear + log-sum-exp of unit weights with a margin a row, on the
angle."""

from __future__ import annotations

import triton
import triton.language as tl

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from ..shared.target_angles import turned as on_angle
from . import arguments

_EASY = tl.constexpr(arguments.RULES.index("easy"))


@triton.jit
def turned(plain, length, margin, second, third, RULE: tl.constexpr):
    """target, slope, radial and the derivative by the margin of length cos(theta + m), of the row's
    own m, as the rule has it."""
    nowhere = length == 0.0
    divisor = tl.where(nowhere, 1.0, length)
    cosine = plain / divisor
    value, slope, by_margin = on_angle(cosine, margin)
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
