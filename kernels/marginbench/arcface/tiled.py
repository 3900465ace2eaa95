"""ArcFace in PyTorch without a B x C matrix."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from ..shared.sampling import over_sampled
from . import arguments
from .eager import margin_function


@of_terms(arguments.arcface, on=linear_lse_tiled.check_cpu)
def arcface(embeddings, labels, class_weights, scale_B, margin, rule):
    """Edges as eager's, on the CPU. Differentiable once."""
    return linear_lse_tiled.terms(
        embeddings, labels, class_weights, scale_B=scale_B,
        margin_function=margin_function(margin, rule), unit_weights=True, steep=True,
    )  # fmt: skip


arcface_sampled = over_sampled(arcface)
