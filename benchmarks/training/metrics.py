"""What is measured on the embeddings of a split, in float64; every figure is deterministic.

Shapes: N images, D dimension of an embedding, C classes, M pairs. Retrieval, verification and
angles are by cosine whatever the loss trained with, as verification of faces does, so that losses
compare; distances and lengths are of the embeddings as they are passed: as the loss saw them, of
unit length where it trains on such.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from suites.quality.jobs import Row

from . import geometry
from .geometry import spread
from .retrieval import retrieval
from .series import series
from .verification import (
    FOLDS,
    PAIR_SEED,
    PAIRS_PER_KIND,
    Pairs,
    error_rates,
    verification_accuracy,
    verification_pairs,
)

__all__ = [
    "FOLDS",
    "HEAD_NAMES",
    "NAMES",
    "PAIRS_PER_KIND",
    "PAIR_SEED",
    "Pairs",
    "evaluate",
    "head",
    "series",
    "spread",
    "verification_accuracy",
    "verification_pairs",
]

NAMES = (
    "recall_at_1",
    "map_at_r",
    "verification_accuracy",
    "equal_error_rate",
    "tar_at_far_1_percent",
    "tar_at_far_0_1_percent",
    "intra_class_angle_deg",
    "inter_class_angle_deg",
    "intra_class_distance",
    "inter_class_distance",
    "negative_distance_p5",
    "positive_distance_mean",
    "embedding_norm_mean",
    "embedding_spread",
    "embedding_diameter",
)
HEAD_NAMES = (
    "classifier_accuracy",
    "norm_free_accuracy",
    "class_weight_angle_deg",
    "angular_margin_ratio",
)


def evaluate(x_ND: Tensor, labels_N: Tensor, pairs: Pairs) -> Row:
    """Every metric of `NAMES` of the embeddings x_ND (as the loss saw them) with identities
    labels_N (int64); None where one is not defined, all None where an embedding is not finite."""
    if not bool(torch.isfinite(x_ND).all()):
        return dict.fromkeys(NAMES)
    x_ND = x_ND.detach().double()
    u_ND = F.normalize(x_ND, dim=1)
    classes_N = torch.unique(labels_N, return_inverse=True)[1]
    recall, mean_precision = retrieval(u_ND, labels_N)
    scores_M = (u_ND[pairs.indices[:, 0]] * u_ND[pairs.indices[:, 1]]).sum(1)
    intra, inter = geometry.angles(u_ND, classes_N)
    figures = {
        "recall_at_1": recall,
        "map_at_r": mean_precision,
        "verification_accuracy": verification_accuracy(scores_M, pairs),
        **error_rates(scores_M, pairs.same),
        "intra_class_angle_deg": intra,
        "inter_class_angle_deg": inter,
        **geometry.distance_figures(x_ND, classes_N),
        "embedding_spread": spread(u_ND),
    }
    return _finite({name: figures[name] for name in NAMES})


def head(
    x_ND: Tensor,
    labels_N: Tensor,
    class_weights_CD: Tensor,
    bias_C: Tensor | None = None,
    norm_free: bool = False,
) -> Row:
    """The metrics of `HEAD_NAMES` of embeddings whose classes were trained on; labels_N index
    the class weights.

    ``norm_free`` classifies by angle alone, as A-Softmax does: weights of unit length, no bias.
    norm_free_accuracy does so whatever the loss. class_weight_angle_deg is the mean over the
    classes of the angle to the nearest other weight.
    """
    tensors = (x_ND, class_weights_CD) if bias_C is None else (x_ND, class_weights_CD, bias_C)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return dict.fromkeys(HEAD_NAMES)
    x_ND, w_CD = x_ND.detach().double().cpu(), class_weights_CD.detach().double().cpu()
    unit_CD = F.normalize(w_CD, dim=1)
    bias = 0.0 if norm_free or bias_C is None else bias_C.detach().double().cpu()
    used_CD = unit_CD if norm_free else w_CD

    def accuracy(w_CD: Tensor, bias: Tensor | float) -> float:
        right = [
            (chunk @ w_CD.T + bias).argmax(1) == labels
            for chunk, labels in zip(x_ND.split(500), labels_N.split(500), strict=True)
        ]
        return float(torch.cat(right).double().mean())

    many = len(unit_CD) > 1
    apart = float(geometry.nearest_weights(unit_CD)[0].mean()) if many else math.nan
    u_ND = F.normalize(x_ND, dim=1)
    return _finite(
        {
            "classifier_accuracy": accuracy(used_CD, bias),
            "norm_free_accuracy": accuracy(unit_CD, 0.0),
            "class_weight_angle_deg": apart,
            "angular_margin_ratio": geometry.angular_margin_ratio(u_ND, labels_N, unit_CD),
        }
    )


def _finite(figures: dict[str, float]) -> Row:
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
