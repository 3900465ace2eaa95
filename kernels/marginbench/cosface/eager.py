"""CosFace in PyTorch: the shared head over unit weights, and a margin off the cosine."""

from __future__ import annotations

from ..shared import linear_lse_eager
from ..shared.forms import of_terms
from ..shared.sampling import over_sampled
from ..shared.target_margins import MarginFunction, less, of_cosine
from . import arguments


def margin_function(margin: float) -> MarginFunction:
    """length (cos theta - m)."""
    return of_cosine(less, margin)


@of_terms(arguments.cosface)
def cosface(embeddings, labels, class_weights, scale_B, margin):
    """An embedding of length 0 has logits of 0 and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Differentiable once."""
    return linear_lse_eager.terms(
        embeddings, labels, class_weights, scale_B, margin_function=margin_function(margin)
    )


cosface_sampled = over_sampled(cosface)
