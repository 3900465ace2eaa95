"""AdaFace in PyTorch without a B x C matrix."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments
from .eager import margin_function


@of_terms(arguments.adaface, on=linear_lse_tiled.check_cpu)
def adaface(embeddings, labels, class_weights, scale_B, margins_PB, margin, rule):
    """Edges as eager's, on the CPU. Differentiable once."""
    return linear_lse_tiled.terms(
        embeddings, labels, class_weights, scale_B=scale_B, margins_PB=margins_PB,
        margin_function=margin_function(margin, rule), unit_weights=True, steep=True,
    )  # fmt: skip
