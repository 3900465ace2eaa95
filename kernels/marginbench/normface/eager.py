"""NormFace in PyTorch: the shared head over unit weights."""

from __future__ import annotations

from ..shared import linear_lse_eager
from ..shared.forms import of_terms
from . import arguments


@of_terms(arguments.normface)
def normface(embeddings, labels, class_weights, scale_B):
    """An embedding of length 0 has logits of 0 and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Differentiable once."""
    return linear_lse_eager.terms(embeddings, labels, class_weights, scale_B)
