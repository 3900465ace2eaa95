"""ElasticFace in Triton: the shared linear + log-sum-exp of unit weights, with a margin a row."""

from __future__ import annotations

import triton
import triton.language as tl

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from ..shared.target_angles import turned
from . import arguments


@triton.jit
def elastic(plain, length, margin, second, third, ON_COSINE: tl.constexpr):
    """target, slope, radial and the derivative by the margin of length cos(theta + m), or of length
    (cos theta - m), of the row's own m."""
    nowhere = length == 0.0
    divisor = tl.where(nowhere, 1.0, length)
    cosine = plain / divisor
    if ON_COSINE:
        value = cosine - margin
        slope = cosine * 0.0 + 1.0
        by_margin = cosine * 0.0 - 1.0
    else:
        value, slope, by_margin = turned(cosine, margin)
    slope = tl.where(nowhere, 0.0, slope)
    radial = tl.where(nowhere, 0.0, (value - cosine * slope) / divisor)
    return length * value, slope, radial, length * by_margin


head = Head("elasticface", elastic, unit_weights=True, steep=True)


@of_terms(arguments.elasticface, on=check_fused)
def elasticface(embeddings, labels, class_weights, scale_B, margins_PB, rule):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    return head(
        embeddings, labels, class_weights, scales=scale_B.float(), margins=margins_PB[0],
        margin=int(rule == "cos"),
    )  # fmt: skip
