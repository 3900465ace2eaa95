"""The combined margin in PyTorch without a B x C matrix."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments
from .eager import margin_function


@of_terms(arguments.combined_margin, on=linear_lse_tiled.check_cpu)
def combined_margin(embeddings, labels, class_weights, scale_B, margins):
    """Edges as eager's, on the CPU. Differentiable once."""
    return linear_lse_tiled.terms(
        embeddings, labels, class_weights, scale_B=scale_B,
        margin_function=margin_function(*margins), unit_weights=True, steep=True,
    )  # fmt: skip
