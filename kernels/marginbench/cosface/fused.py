"""CosFace in Triton: the shared linear + log-sum-exp of unit weights, a margin off the cosine."""

from __future__ import annotations

import triton
import triton.language as tl

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from ..shared.sampling import over_sampled
from . import arguments


@triton.jit
def less(plain, length, margin, second, third, MARGIN: tl.constexpr):
    """target, slope and radial of length (cos theta - margin); constant where the length is 0."""
    there = length > 0.0
    slope = tl.where(there, 1.0, 0.0)
    return plain - margin * length, slope, -margin * slope / tl.where(there, length, 1.0)


head = Head("cosface", less, unit_weights=True)


@of_terms(arguments.cosface, on=check_fused)
def cosface(embeddings, labels, class_weights, scale_B, margin):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    return head(embeddings, labels, class_weights, scales=scale_B.float(), parameters=(margin,))


cosface_sampled = over_sampled(cosface)
