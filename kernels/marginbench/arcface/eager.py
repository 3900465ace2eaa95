"""ArcFace in PyTorch: the shared head over unit weights, and a margin on the angle."""

from __future__ import annotations

from ..shared import linear_lse_eager, target_margins
from ..shared.forms import of_terms
from ..shared.sampling import over_sampled
from ..shared.target_margins import MarginFunction
from . import arguments

_BY_RULE = {"true": target_margins.turned} | {
    rule: getattr(target_margins, rule) for rule in arguments.RULES if rule != "true"
}


def margin_function(margin: float, rule: str) -> MarginFunction:
    """length cos(theta + m), as the rule has it."""
    return target_margins.of_cosine(_BY_RULE[rule], margin)


@of_terms(arguments.arcface)
def arcface(embeddings, labels, class_weights, scale_B, margin, rule):
    """An embedding of length 0 has logits of 0 and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Where theta is 0 or pi the margin has the gradient 0.
    Differentiable once."""
    return linear_lse_eager.terms(
        embeddings, labels, class_weights, scale_B,
        margin_function=margin_function(margin, rule), steep=True,
    )  # fmt: skip


arcface_sampled = over_sampled(arcface)
