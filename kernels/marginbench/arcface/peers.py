"""Other libraries' ArcFace, called on our arguments."""

from __future__ import annotations

import math

from torch import Tensor

from ..checks import InputError
from ..shared import peers


def arcface(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    rule: str = "guarded",
    reduction: str = "mean",
) -> Tensor:
    """pytorch-metric-learning's ArcFaceLoss, whose margin is in degrees and which has the guard."""
    if rule != "guarded":
        raise InputError("rule", "guarded: pytorch-metric-learning has no other", repr(rule))
    return peers.loss(
        "ArcFaceLoss", embeddings, labels, class_weights,
        scale=scale, margin=math.degrees(margin), reduction=reduction,
    )  # fmt: skip
