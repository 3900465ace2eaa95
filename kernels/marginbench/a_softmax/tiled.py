"""A-Softmax in PyTorch without a B x C matrix: the shared tiled linear + log-sum-exp over unit
weights, and eager's margin on the target's logit."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments
from .eager import margin_function


@of_terms(arguments.a_softmax, on=linear_lse_tiled.check_cpu)
def a_softmax(embeddings, labels, class_weights, m, annealing):
    """Edges as eager's, on the CPU. Differentiable once."""
    return linear_lse_tiled.terms(
        embeddings, labels, class_weights,
        margin_function=margin_function(m, annealing), unit_weights=True,
    )  # fmt: skip
