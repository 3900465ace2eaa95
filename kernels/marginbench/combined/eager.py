"""The combined margin in PyTorch: the shared head over unit weights, and a margin by the angle."""

from __future__ import annotations

from ..shared import linear_lse_eager, target_margins
from ..shared.forms import of_terms
from ..shared.target_margins import MarginFunction
from . import arguments


def margin_function(m1: float, m2: float, m3: float) -> MarginFunction:
    """length (cos(m1 theta + m2) - m3)."""
    return target_margins.of_cosine(target_margins.combined, m1, m2, m3)


@of_terms(arguments.combined_margin)
def combined_margin(embeddings, labels, class_weights, scale_B, margins):
    """An embedding of length 0 has logits of 0 and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Where theta is 0 or pi the margin has the gradient 0.
    Differentiable once."""
    return linear_lse_eager.terms(
        embeddings, labels, class_weights, scale_B,
        margin_function=margin_function(*margins), steep=True,
    )  # fmt: skip
