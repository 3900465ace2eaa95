"""AdaFace in Triton: the shared linear + log-sum-exp of unit weights, with a margin a row on the
angle and on the cosine."""

from __future__ import annotations

import math

import triton
import triton.language as tl

from ..shared import target_margins
from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from ..shared.target_angles import angle_of, sine_and_cosine
from . import arguments

_DETACHED = tl.constexpr(arguments.RULES.index("detached"))
_NO_ANGLE = tl.constexpr(target_margins.NO_ANGLE)
_LEAST, _MOST = tl.constexpr(arguments.EPS), tl.constexpr(math.pi - arguments.EPS)


@triton.jit
def adaptive(plain, length, own, margin, third, RULE: tl.constexpr):
    """target, slope and radial of length (cos(theta - g) - (m + g)), g the row's own, as the rule
    has it; and 0, for g has no gradient."""
    nowhere = length == 0.0
    divisor = tl.where(nowhere, 1.0, length)
    cosine = plain / divisor
    square = 1.0 - cosine * cosine
    some = square > _NO_ANGLE
    sine = tl.sqrt(tl.where(some, square, 0.0))
    angle = angle_of(cosine, sine) - own
    if RULE == _DETACHED:
        # The cosine is even, and the series are of angles from 0 on.
        fall, value = sine_and_cosine(tl.abs(angle))
        slope = fall * 0.0 + 1.0
    else:
        fall, value = sine_and_cosine(tl.minimum(tl.maximum(angle, _LEAST), _MOST))
        inside = some & (angle >= _LEAST) & (angle <= _MOST)
        slope = tl.where(inside, fall / tl.where(some, sine, 1.0), 0.0)
    value -= margin + own
    slope = tl.where(nowhere, 0.0, slope)
    radial = tl.where(nowhere, 0.0, (value - cosine * slope) / divisor)
    return length * value, slope, radial, own * 0.0


head = Head("adaface", adaptive, unit_weights=True, steep=True)


@of_terms(arguments.adaface, on=check_fused)
def adaface(embeddings, labels, class_weights, scale_B, margins_PB, margin, rule):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    return head(
        embeddings, labels, class_weights, scales=scale_B.float(), margins=margins_PB[0],
        margin=arguments.RULES.index(rule), parameters=(0.0, margin),
    )  # fmt: skip
