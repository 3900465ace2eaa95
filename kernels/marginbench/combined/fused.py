"""The combined margin in Triton: the shared linear + log-sum-exp of unit weights, and a margin by
the angle."""

from __future__ import annotations

from ..shared import target_angles
from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from . import arguments

head = Head("combined_margin", target_angles.combined, unit_weights=True, steep=True)


@of_terms(arguments.combined_margin, on=check_fused)
def combined_margin(embeddings, labels, class_weights, scale_B, margins):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    return head(
        embeddings, labels, class_weights, scales=scale_B.float(), margin=target_angles.FREE,
        parameters=margins,
    )  # fmt: skip
