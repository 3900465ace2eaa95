"""The instruments of a trained network: each takes what it embedded and returns figures by name.

Everything is in float64. NaN stands for what is not defined. Shapes: N images, D dimension of an
embedding, C classes, M pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry
from .retrieval import retrieval
from .verification import Pairs, error_rates, verification_accuracy

Figures = dict[str, float]
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Head:
    """What an embedding is classified by: ``norm_free`` by angle alone, as A-Softmax does, with
    weights of unit length and no bias."""

    class_weights_CD: Tensor
    bias_C: Tensor | None = None
    norm_free: bool = False


@dataclass(frozen=True)
class Embedded:
    """A split's embeddings as the loss saw them, in float64, their identities and what is asked of
    them. ``head`` is there where their classes were trained on; labels_N then index its weights."""

    x_ND: Tensor
    labels_N: Tensor
    pairs: Pairs | None = None
    head: Head | None = None

    @cached_property
    def u_ND(self) -> Tensor:
        return F.normalize(self.x_ND, dim=1)

    @cached_property
    def classes_N(self) -> Tensor:
        """The identities, numbered from 0."""
        return torch.unique(self.labels_N, return_inverse=True)[1]


def retrieved(of: Embedded) -> Figures:
    recall, mean_precision = retrieval(of.u_ND, of.labels_N)
    return {"recall_at_1": recall, "map_at_r": mean_precision}


def verified(of: Embedded) -> Figures:
    assert of.pairs is not None
    indices, u_ND = of.pairs.indices, of.u_ND
    scores_M = (u_ND[indices[:, 0]] * u_ND[indices[:, 1]]).sum(1)
    accuracy = verification_accuracy(scores_M, of.pairs)
    return {"verification_accuracy": accuracy, **error_rates(scores_M, of.pairs.same)}


def directions(of: Embedded) -> Figures:
    intra, inter = geometry.angles(of.u_ND, of.classes_N)
    return {
        "intra_class_angle_deg": intra,
        "inter_class_angle_deg": inter,
        "embedding_spread": geometry.spread(of.u_ND),
    }


def distances(of: Embedded) -> Figures:
    return geometry.distance_figures(of.x_ND, of.classes_N)


def classified(of: Embedded) -> Figures:
    """norm_free_accuracy classifies by angle alone whatever the loss. class_weight_angle_deg is the
    mean over the classes of the angle to the nearest other weight."""
    assert of.head is not None
    w_CD = of.head.class_weights_CD
    unit_CD = F.normalize(w_CD, dim=1)
    bias = 0.0 if of.head.norm_free or of.head.bias_C is None else of.head.bias_C
    used_CD = unit_CD if of.head.norm_free else w_CD

    def accuracy(w_CD: Tensor, bias: Tensor | float) -> float:
        chunks = zip(of.x_ND.split(_ROWS_AT_ONCE), of.labels_N.split(_ROWS_AT_ONCE), strict=True)
        right = [(x_BD @ w_CD.T + bias).argmax(1) == labels_B for x_BD, labels_B in chunks]
        return float(torch.cat(right).double().mean())

    many = len(unit_CD) > 1
    return {
        "classifier_accuracy": accuracy(used_CD, bias),
        "norm_free_accuracy": accuracy(unit_CD, 0.0),
        "class_weight_angle_deg": float(geometry.nearest_weights(unit_CD)[0].mean())
        if many
        else math.nan,
        "angular_margin_ratio": geometry.angular_margin_ratio(of.u_ND, of.labels_N, unit_CD),
    }
