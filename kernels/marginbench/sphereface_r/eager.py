"""SphereFace-R in PyTorch: the shared head over unit weights, and a multiplied angle."""

from __future__ import annotations

from ..shared import linear_lse_eager, target_margins
from ..shared.forms import of_terms
from ..shared.target_margins import MarginFunction
from . import arguments

_BY_RULE = {
    "true": target_margins.multiplied,
    "detached": target_margins.multiplied_detached,
}


def margin_function(m: float, rule: str) -> MarginFunction:
    """length cos(min(m theta, pi)), with the slope that the rule has."""
    return target_margins.of_cosine(_BY_RULE[rule], m)


@of_terms(arguments.sphereface_r)
def sphereface_r(embeddings, labels, class_weights, scale_B, m, rule):
    """An embedding of length 0 has logits of 0 and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Differentiable once."""
    return linear_lse_eager.terms(
        embeddings, labels, class_weights, scale_B, margin_function=margin_function(m, rule)
    )
