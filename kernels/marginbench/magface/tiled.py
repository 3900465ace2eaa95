"""MagFace in PyTorch without a B x C matrix."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments
from .eager import margin_function


@of_terms(arguments.magface, on=linear_lse_tiled.check_cpu)
def magface(embeddings, labels, class_weights, scale_B, lengths, rule):
    """Edges as eager's, on the CPU. Differentiable once."""
    a_B = lengths.clamped(embeddings)
    terms_B = linear_lse_tiled.terms(
        embeddings, labels, class_weights, scale_B=scale_B, margins_PB=lengths.margins(a_B),
        margin_function=margin_function(rule), unit_weights=True, steep=True,
    )  # fmt: skip
    return terms_B + lengths.added(a_B).to(terms_B.dtype)
