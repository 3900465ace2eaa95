"""ArcFace in Triton: the shared linear + log-sum-exp of unit weights, a margin on the angle."""

from __future__ import annotations

import math

import triton
import triton.language as tl

from ..shared import target_margins
from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from ..shared.sampling import over_sampled
from . import arguments

_RULES = arguments.RULES
_GUARDED = tl.constexpr(_RULES.index("guarded"))
_DETACHED = tl.constexpr(_RULES.index("detached"))
_EASY = tl.constexpr(_RULES.index("easy"))
_CLIPPED = tl.constexpr(_RULES.index("clipped"))
_NO_ANGLE = tl.constexpr(target_margins.NO_ANGLE)
_WITHIN = tl.constexpr(1e-4)
_COS_WITHIN, _SIN_WITHIN = tl.constexpr(math.cos(1e-4)), tl.constexpr(math.sin(1e-4))


@triton.jit
def turned(plain, length, cos_m, sin_m, fall, RULE: tl.constexpr):
    """target, slope and radial of length cos(theta + m), as the rule has it; ``fall`` is m sin m.

    Without an angle: cos(theta + m) = cos theta cos m - sin theta sin m, with the slope cos m + cos
    theta / sin theta sin m; theta + m <= pi - e where cos theta >= -cos(m + e).
    """
    nowhere = length == 0.0
    divisor = tl.where(nowhere, 1.0, length)
    cosine = plain / divisor
    held = cosine
    # In float64: of a constant next to 1 the kernel takes seven digits.
    most = 1.0 - (cosine * 0.0 + _WITHIN)
    if RULE == _CLIPPED:
        held = tl.minimum(tl.maximum(cosine, -most), most)
    square = 1.0 - held * held
    some = square > _NO_ANGLE
    sine = tl.sqrt(tl.where(some, square, 0.0))
    value = held * cos_m - sine * sin_m
    slope = cos_m + tl.where(some, held / tl.where(some, sine, 1.0), 0.0) * sin_m
    if RULE == _GUARDED:
        inside = cosine >= -cos_m
        value = tl.where(inside, value, cosine - fall)
        slope = tl.where(inside, slope, 1.0)
    elif RULE == _DETACHED:
        slope = slope * 0.0 + 1.0
    elif RULE == _EASY:
        value = tl.where(cosine > 0.0, value, cosine)
        slope = tl.where(cosine > 0.0, slope, 1.0)
    elif RULE == _CLIPPED:
        free = held >= sin_m * _SIN_WITHIN - cos_m * _COS_WITHIN
        value = tl.where(free, value, -_COS_WITHIN)
        slope = tl.where(free & (tl.abs(cosine) <= most), slope, 0.0)
    slope = tl.where(nowhere, 0.0, slope)
    radial = tl.where(nowhere, 0.0, (value - cosine * slope) / divisor)
    return length * value, slope, radial


head = Head("arcface", turned, unit_weights=True, steep=True)


@of_terms(arguments.arcface, on=check_fused)
def arcface(embeddings, labels, class_weights, scale_B, margin, rule):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    cos_m, sin_m = math.cos(margin), math.sin(margin)
    return head(
        embeddings, labels, class_weights, scales=scale_B.float(), margin=_RULES.index(rule),
        parameters=(cos_m, sin_m, margin * sin_m),
    )  # fmt: skip


arcface_sampled = over_sampled(arcface)
