"""Do two images show the same identity: pairs, thresholds, error rates.

Shapes: N images, M pairs, T thresholds.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDS = 10
PAIRS_PER_KIND = 3_000
PAIR_SEED = 2006


@dataclass(frozen=True)
class Pairs:
    """Verification pairs: indices (M, 2), ``same`` (M, bool) and the fold of each (M).

    Drawn by `verification_pairs`, or given with the data (LFW's pairs.txt and its ten folds,
    which are disjoint in identities where drawn ones are not)."""

    indices: Tensor
    same: Tensor
    fold: Tensor


def verification_pairs(labels: Tensor, folds: int = FOLDS) -> Pairs:
    """As many pairs of one identity as of two, up to 3,000 of each (LFW's number), in folds.

    Drawn uniformly and without replacement from all pairs by a seed of their own, never the
    training's, so that every network is asked the same pairs; no list of all pairs is made. The
    folds are disjoint in pairs, balanced, and share identities. Empty where one of the two kinds
    does not exist.
    """
    # Where each identity's images stand together, an image's partners further on are two runs of
    # neighbours: the rest of its identity, then all later identities.
    order = torch.argsort(labels, stable=True)
    size = torch.unique_consecutive(labels[order], return_counts=True)[1]
    end = size.cumsum(0).repeat_interleave(size)
    after = torch.arange(len(labels)) + 1
    kinds = ((after, end - after), (end, len(labels) - end))
    count = min(PAIRS_PER_KIND, *(int(partners.sum()) for _, partners in kinds))
    drawn = random.Random(PAIR_SEED)
    chosen = [_draw(first, partners, count, drawn) for first, partners in kinds]
    indices = order[torch.cat(chosen)].sort(dim=1)[0]
    same = torch.arange(2 * count) < count
    fold = (torch.arange(count) % folds).repeat(2)
    return Pairs(indices, same, fold)


def _draw(first: Tensor, partners: Tensor, count: int, drawn: random.Random) -> Tensor:
    """``count`` different pairs (count, 2) of an image and one of its ``partners`` many
    neighbours from ``first`` on: numbers of pairs, counted through all images in order."""
    upto = partners.cumsum(0)
    total = int(upto[-1]) if len(upto) else 0
    number = torch.tensor(drawn.sample(range(total), count), dtype=torch.int64)
    image = torch.searchsorted(upto, number, right=True)
    if count == 0:
        return torch.empty(0, 2, dtype=torch.int64)
    offset = number - (upto - partners)[image]
    return torch.stack([image, first[image] + offset], dim=1)


def verification_accuracy(scores_M: Tensor, pairs: Pairs) -> float:
    """Mean accuracy over the folds, each with the threshold that is best on the other folds.

    A pair is accepted if its score is at least the threshold; thresholds lie midway between
    neighbouring scores of the other folds, and of equally good ones the lowest is taken. This is
    how LFW's view 2 is read (Huang et al. 2007). NaN without pairs or with a single fold.
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


def receiver_operating(
    scores_M: Tensor, same_M: Tensor, *, corners_only: bool = False
) -> tuple[Tensor, Tensor] | None:
    """False and true accept rates (T, T; float64, rising from 0 to 1) at every threshold that
    tells pairs apart, or only where their curve bends; None where a kind of pair is missing.

    scikit-learn's `roc_curve`. Its rates are counts over a count, rounded once, so that 30 of
    3,000 compares equal to 0.01.
    """
    if not bool(same_M.any()) or bool(same_M.all()):
        return None
    from sklearn.metrics import roc_curve

    false_accept, true_accept, _ = roc_curve(
        same_M.numpy(), scores_M.numpy(), drop_intermediate=corners_only
    )
    return torch.from_numpy(false_accept), torch.from_numpy(true_accept)


def error_rates(scores_M: Tensor, same_M: Tensor) -> dict[str, float]:
    """Over all pairs, without folds: the equal error rate, and the share of same pairs accepted
    where at most 1% and 0.1% of the others are (TAR at FAR); NaN where a kind is missing.

    The equal error rate is the mean of both error rates at the threshold where they are nearest,
    of equally near ones the highest: torchmetrics' `binary_eer` in float64. With 3,000 pairs of
    different identities, 0.1% are three pairs: read that one as a rough figure.
    """
    curve = receiver_operating(scores_M, same_M)
    if curve is None:
        names = ("equal_error_rate", "tar_at_far_1_percent", "tar_at_far_0_1_percent")
        return dict.fromkeys(names, math.nan)
    false_accept, true_accept = curve
    false_reject = 1 - true_accept
    nearest = int((false_accept - false_reject).abs().argmin())
    return {
        "equal_error_rate": float(false_accept[nearest] + false_reject[nearest]) / 2,
        "tar_at_far_1_percent": float(true_accept[false_accept <= 0.01].max()),
        "tar_at_far_0_1_percent": float(true_accept[false_accept <= 0.001].max()),
    }
