"""MagFace in PyTorch: the shared head over unit weights with a margin a row, which plain autograd
takes back to the embeddings' lengths."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..shared import linear_lse_eager, target_margins
from ..shared.forms import of_terms
from ..shared.target_margins import MarginFunction
from . import arguments

_BY_RULE = {"true": target_margins.turned, "easy": target_margins.easy}


def margin_function(rule: str, **_: Any) -> MarginFunction:
    """length cos(theta + m) of the rows' own m, as the rule has it."""
    return target_margins.of_cosine(_BY_RULE[rule])


def margins(embeddings: Tensor, *_: Tensor, rule: str, **numbers: float) -> Tensor:
    """The margin of each row (1 x B, float64)."""
    lengths = arguments.Lengths.checked(**numbers)
    return lengths.margins(lengths.clamped(embeddings))


@of_terms(arguments.magface)
def magface(embeddings, labels, class_weights, scale_B, lengths, rule):
    """An embedding of length 0 has logits of 0, and no gradient; a class weight of length 0 has the
    direction 0 and no gradient. Where theta is 0 or pi the margin has the gradient 0.
    Differentiable once."""
    a_B = lengths.clamped(embeddings)
    terms_B = linear_lse_eager.terms(
        embeddings, labels, class_weights, scale_B, lengths.margins(a_B),
        margin_function=margin_function(rule), steep=True,
    )  # fmt: skip
    return terms_B + lengths.added(a_B).to(terms_B.dtype)
