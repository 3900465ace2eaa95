"""ElasticFace in PyTorch: the shared head over unit weights, with a margin a row."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..shared import linear_lse_eager, target_margins
from ..shared.forms import of_terms
from ..shared.target_margins import MarginFunction
from . import arguments

_BY_RULE = {
    "arc": target_margins.turned,
    "cos": target_margins.less,
    "sorted": target_margins.turned,
}


def margin_function(rule: str, **_: Any) -> MarginFunction:
    """length cos(theta + m) or length (cos theta - m) of the rows' own m."""
    return target_margins.of_cosine(_BY_RULE[rule])


def margins(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, *, margins: Tensor, rule: str
) -> Tensor:
    """The margin of each row (1 x B, float64)."""
    return arguments.assigned(margins, embeddings, labels, class_weights, rule)[None]


@of_terms(arguments.elasticface)
def elasticface(embeddings, labels, class_weights, scale_B, margins_PB, rule):
    """An embedding of length 0 has logits of 0 and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Where theta is 0 or pi a margin on the angle has the gradient 0.
    Differentiable once."""
    return linear_lse_eager.terms(
        embeddings, labels, class_weights, scale_B, margins_PB,
        margin_function=margin_function(rule), steep=True,
    )  # fmt: skip
