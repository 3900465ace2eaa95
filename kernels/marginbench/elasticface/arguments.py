"""What every form of ElasticFace takes, and which row has which margin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import InputError, check_choice, check_device, check_finite, check_reduction
from ..shared import cosine_heads, head_options

#: On the angle, off the cosine, and on the angle by the order of the target's cosines.
RULES = ("arc", "cos", "sorted")
#: Two ways to a cosine in float64 come to the same of so many parts of 1.
EQUAL = 2.0**36


def elasticface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    margins: Tensor,
    *,
    scale: Tensor | float = 64.0,
    rule: str = "arc",
    reduction: str = "mean",
) -> tuple[Any, ...]:
    """embeddings (B x D) and class_weights (C x D) of any length, labels (B, int64 in [0, C)),
    margins (B); what comes back has the margins (1 x B, float64) in the order of the rows."""
    tensors = cosine_heads.arguments(embeddings, labels, class_weights, scale)
    check_margins(margins, embeddings)
    check_choice("rule", rule, RULES)
    check_reduction(reduction)
    own_B = assigned(margins, embeddings, labels, class_weights, rule)
    return *tensors, own_B[None], rule, reduction


def check_margins(margins: Tensor, embeddings: Tensor) -> None:
    """B finite floating-point numbers, on the embeddings' device."""
    if not isinstance(margins, Tensor):
        raise InputError("margins", "a tensor", type(margins).__name__)
    if margins.shape != embeddings.shape[:1] or not margins.is_floating_point():
        raise InputError(
            "margins", f"{len(embeddings)} floating-point numbers, one a row of embeddings",
            f"shape {tuple(margins.shape)}, {margins.dtype}",
        )  # fmt: skip
    check_device("margins", margins, embeddings)
    check_finite(margins=margins)


@torch.no_grad()
def assigned(
    margins: Tensor, embeddings: Tensor, labels: Tensor, class_weights: Tensor, rule: str
) -> Tensor:
    """The margin of each row (B, float64): as given or, for ``sorted``, the smallest for the row
    with the largest cosine. Equal cosines, by rounding to `EQUAL` parts of 1, have theirs in the
    order of the rows."""
    margins_B = margins.double()
    if rule != "sorted":
        return margins_B
    # A label out of range, which is not looked for on a GPU, makes its row's loss a NaN later.
    safe_B = labels.clamp(0, class_weights.shape[0] - 1)
    own_BD = head_options.directions(class_weights.index_select(0, safe_B).double())
    cosine_B = (head_options.directions(embeddings.double()) * own_BD).sum(dim=1)
    order_B = (EQUAL * cosine_B).round().argsort(descending=True, stable=True)
    return torch.empty_like(margins_B).index_copy(0, order_B, margins_B.sort().values)
