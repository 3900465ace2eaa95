"""The joint center loss in PyTorch without a B x C matrix: the shared tiled linear + log-sum-exp,
and eager's distances."""

from __future__ import annotations

from ..shared import linear_lse_tiled
from ..shared.forms import of_terms
from . import arguments
from .eager import half_squared_distances


@of_terms(arguments.joint, on=linear_lse_tiled.check_cpu)
def joint(embeddings, labels, class_weights, bias, pulled, centers, weight):
    """On the CPU; differentiable once."""
    softmax_B = linear_lse_tiled.terms(embeddings, labels, class_weights, bias)
    return softmax_B + weight * half_squared_distances(pulled, labels, centers)
