"""The softmax loss in PyTorch without a B x C matrix: the shared tiled linear + log-sum-exp."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments


@of_terms(arguments.softmax, on=linear_lse_tiled.check_cpu)
def softmax(embeddings, labels, class_weights, bias):
    """On the CPU; differentiable once."""
    return linear_lse_tiled.terms(embeddings, labels, class_weights, bias)
