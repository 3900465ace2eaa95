"""A-Softmax in PyTorch without a B x C matrix: the shared tiled linear + log-sum-exp over unit
weights, and eager's margin on the target's logit."""

from __future__ import annotations

import functools

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments
from .eager import target_with_margin


@of_terms(arguments.a_softmax, on=linear_lse_tiled.check_cpu)
def a_softmax(embeddings, labels, class_weights, m, annealing):
    """Edges as eager's, on the CPU. Differentiable once."""
    margin = None if m == 1 else functools.partial(target_with_margin, m=m, annealing=annealing)
    return linear_lse_tiled.terms(
        embeddings, labels, class_weights, margin_function=margin, unit_weights=True
    )
