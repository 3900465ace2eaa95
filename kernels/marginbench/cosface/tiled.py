"""CosFace in PyTorch without a B x C matrix."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from ..shared.sampling import over_sampled
from . import arguments
from .eager import margin_function


@of_terms(arguments.cosface, on=linear_lse_tiled.check_cpu)
def cosface(embeddings, labels, class_weights, scale_B, margin):
    """Edges as eager's, on the CPU. Differentiable once."""
    return linear_lse_tiled.terms(
        embeddings, labels, class_weights, scale_B=scale_B,
        margin_function=margin_function(margin), unit_weights=True,
    )  # fmt: skip


cosface_sampled = over_sampled(cosface)
