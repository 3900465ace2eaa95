"""What is measured on the embeddings of a test split, in float64 and by cosine.

Shapes: N images, D dimension of an embedding, M pairs. Every figure is deterministic. Cosine is
used whatever the loss trained with, as verification of faces does, so that losses compare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDS = 10
PAIRS_PER_KIND = 3_000
PAIR_SEED = 2006


@dataclass(frozen=True)
class Pairs:
    """Verification pairs: indices (M, 2), ``same`` (M, bool) and the fold of each (M)."""

    indices: Tensor
    same: Tensor
    fold: Tensor


def verification_pairs(labels: Tensor, folds: int = FOLDS) -> Pairs:
    """As many pairs of one identity as of two, up to 3,000 of each (LFW's number), in folds.

    Drawn without replacement from all pairs by a seed of their own, never the training's, so
    that every network is asked the same pairs. The folds are disjoint in pairs, balanced, and
    share identities. Empty where one of the two kinds does not exist.
    """
    generator = torch.Generator().manual_seed(PAIR_SEED)
    pairs = torch.combinations(torch.arange(len(labels)), 2)
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    count = min(int(same.sum()), int((~same).sum()), PAIRS_PER_KIND)
    chosen = []
    for kind in (same, ~same):
        rows = kind.nonzero()[:, 0]
        chosen.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    rows = torch.cat(chosen)
    fold = (torch.arange(count) % folds).repeat(2)
    return Pairs(pairs[rows], same[rows], fold)


def evaluate(x_ND: Tensor, labels_N: Tensor, pairs: Pairs) -> dict[str, float | None]:
    """Every metric of the embeddings x_ND; None where one is not defined or not finite."""
    if not bool(torch.isfinite(x_ND).all()):
        return dict.fromkeys(NAMES)
    u_ND = F.normalize(x_ND.detach().double(), dim=1)
    cosine_NN = u_ND @ u_ND.T
    recall, mean_precision = _retrieval(cosine_NN, labels_N)
    scores_M = cosine_NN[pairs.indices[:, 0], pairs.indices[:, 1]]
    equal_error, true_accepts = _receiver_operating(scores_M, pairs.same)
    intra, inter = _angles(u_ND, labels_N)
    figures = {
        "recall_at_1": recall,
        "map_at_r": mean_precision,
        "verification_accuracy": verification_accuracy(scores_M, pairs),
        "equal_error_rate": equal_error,
        "tar_at_far_1_percent": true_accepts,
        "intra_class_angle_deg": intra,
        "inter_class_angle_deg": inter,
        "embedding_spread": spread(u_ND),
    }
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


NAMES = (
    "recall_at_1",
    "map_at_r",
    "verification_accuracy",
    "equal_error_rate",
    "tar_at_far_1_percent",
    "intra_class_angle_deg",
    "inter_class_angle_deg",
    "embedding_spread",
)


def _retrieval(cosine_NN: Tensor, labels_N: Tensor) -> tuple[float, float]:
    """Recall at 1 and mean average precision at R (Musgrave, Belongie, Lim 2020, section 3.2).

    Each image asks all others; R is how many of them share its identity. AP@R averages over the
    first R answers the precision so far where the answer is right, and 0 where it is not. Images
    without another of their identity are left out; of equal scores the lower index comes first.
    """
    scores_NN = cosine_NN.clone().fill_diagonal_(-math.inf)
    # A diagonal of -inf sorts last: the image itself is never an answer.
    order_NN = scores_NN.argsort(dim=1, descending=True, stable=True)[:, :-1]
    right_NN = (labels_N[order_NN] == labels_N[:, None]).double()
    r_N = right_NN.sum(1)
    asks_N = r_N > 0
    if not bool(asks_N.any()):
        return math.nan, math.nan
    rank_N = torch.arange(1, right_NN.shape[1] + 1, dtype=torch.float64)
    precision_NN = right_NN.cumsum(1) / rank_N
    counted_NN = right_NN * precision_NN * (rank_N <= r_N[:, None])
    average_N = counted_NN.sum(1)[asks_N] / r_N[asks_N]
    return float(right_NN[asks_N, 0].mean()), float(average_N.mean())


def verification_accuracy(scores_M: Tensor, pairs: Pairs) -> float:
    """Mean accuracy over the folds, each with the threshold that is best on the other folds.

    A pair is accepted if its score is at least the threshold; thresholds lie midway between
    neighbouring scores of the other folds, and of equally good ones the lowest is taken. This is
    how LFW's view 2 is read (Huang et al. 2007). NaN without pairs or with an empty fold.
    """
    accuracies = []
    for fold in pairs.fold.unique():
        held = pairs.fold == fold
        threshold = _best_threshold(scores_M[~held], pairs.same[~held])
        accepted = scores_M[held] >= threshold
        accuracies.append(float((accepted == pairs.same[held]).double().mean()))
    return sum(accuracies) / len(accuracies) if len(accuracies) > 1 else math.nan


def _best_threshold(scores_M: Tensor, same_M: Tensor) -> float:
    values, inverse = torch.unique(scores_M, return_inverse=True)
    same = torch.bincount(inverse, weights=same_M.double(), minlength=len(values))
    other = torch.bincount(inverse, weights=(~same_M).double(), minlength=len(values))
    # Threshold k accepts the values from the k-th up: right are the same pairs there and the
    # other pairs below.
    right = F.pad(same.flip(0).cumsum(0).flip(0), (0, 1)) + F.pad(other.cumsum(0), (1, 0))
    best = int((right == right.max()).nonzero()[0])
    if best == 0:
        return -math.inf
    if best == len(values):
        return math.inf
    return float((values[best - 1] + values[best]) / 2)


def _receiver_operating(scores_M: Tensor, same_M: Tensor) -> tuple[float, float]:
    """Equal error rate, and the share of same pairs accepted where 1% of the others are.

    Over all pairs, without folds. The equal error rate is the mean of both error rates at the
    threshold where they are nearest; the accepted share is at the lowest threshold whose false
    accept rate is at most 1%.
    """
    if not bool(same_M.any()) or bool(same_M.all()):
        return math.nan, math.nan
    thresholds = torch.cat([torch.unique(scores_M), torch.tensor([math.inf])])
    same, other = scores_M[same_M].sort()[0], scores_M[~same_M].sort()[0]
    # searchsorted counts the scores below each threshold: those are refused. Rates are compared
    # as counts, because 1 - 0.99 is not 0.01 in binary.
    refused = torch.searchsorted(same, thresholds)
    accepted = len(other) - torch.searchsorted(other, thresholds)
    false_reject, false_accept = refused.double() / len(same), accepted.double() / len(other)
    nearest = int((false_accept - false_reject).abs().argmin())
    lowest = int((accepted * 100 <= len(other)).nonzero()[0])
    equal_error = float(false_accept[nearest] + false_reject[nearest]) / 2
    return equal_error, 1 - int(refused[lowest]) / len(same)


def _angles(u_ND: Tensor, labels_N: Tensor) -> tuple[float, float]:
    """Mean angle of an embedding to its class's mean direction, and between those, in degrees.

    The first averages within each class, then over the classes; the second over pairs of classes.
    """
    means = torch.stack([u_ND[labels_N == c].mean(0) for c in labels_N.unique()])
    means_CD = F.normalize(means, dim=1)
    classes = torch.unique(labels_N, return_inverse=True)[1]
    to_mean_N = (u_ND * means_CD[classes]).sum(1).clamp(-1, 1).acos()
    intra = torch.stack([to_mean_N[classes == c].mean() for c in range(len(means_CD))]).mean()
    pairs = torch.combinations(torch.arange(len(means_CD)), 2)
    between = (means_CD[pairs[:, 0]] * means_CD[pairs[:, 1]]).sum(1).clamp(-1, 1).acos()
    return math.degrees(float(intra)), math.degrees(float(between.mean()))


def spread(u_ND: Tensor) -> float:
    """Collapse indicator: mean standard deviation of the unit embeddings' coordinates x sqrt(D).

    0 where all images share one direction (collapsed), about 1 where directions are uniform.
    """
    return float(u_ND.std(dim=0, correction=0).mean()) * math.sqrt(u_ND.shape[1])
