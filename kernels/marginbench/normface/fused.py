"""NormFace in Triton: the shared linear + log-sum-exp over unit weights, with a scale a row."""

from __future__ import annotations

from ..shared.forms import of_terms
from ..shared.launching import check_fused
from ..shared.linear_lse import Head
from . import arguments

head = Head("normface", None, unit_weights=True)


@of_terms(arguments.normface, on=check_fused)
def normface(embeddings, labels, class_weights, scale_B):
    """Edges as eager's. No B x C matrix is made. Differentiable once. What the GPU only can see (a
    label out of range, a NaN) makes the loss NaN."""
    return head(embeddings, labels, class_weights, scales=scale_B.float())
