"""NormFace in PyTorch without a B x C matrix."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments


@of_terms(arguments.normface, on=linear_lse_tiled.check_cpu)
def normface(embeddings, labels, class_weights, scale_B):
    """Edges as eager's, on the CPU. Differentiable once."""
    return linear_lse_tiled.terms(
        embeddings, labels, class_weights, scale_B=scale_B, unit_weights=True
    )
