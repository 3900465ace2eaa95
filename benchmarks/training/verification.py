"""Do two images show the same identity: pairs, thresholds, error rates.

Pairs of equal scores share every threshold: whatever accepts one accepts all of them, so no order
among them can help. What decides between thresholds is counted in whole numbers; a rate is divided
once, at the end.

Shapes: N images, D dimension of an embedding, M pairs, T distinct scores.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from fractions import Fraction

import torch
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


@dataclass(frozen=True)
class Counts:
    """The distinct scores (T, rising) and how many pairs of one identity, and of two, have each
    (T, int64)."""

    scores: Tensor
    same: Tensor
    other: Tensor


def verification_pairs(labels: Tensor) -> Pairs:
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
    fold = (torch.arange(count) % FOLDS).repeat(2)
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


def counted(scores_M: Tensor, same_M: Tensor) -> Counts | None:
    """How often each score occurs; None where a score is not finite, or a kind of pair is
    missing: there is nothing to separate then."""
    if not bool(scores_M.isfinite().all()) or not bool(same_M.any()) or bool(same_M.all()):
        return None
    scores_T, index_M = torch.unique(scores_M.double(), return_inverse=True)
    same_T, other_T = (
        torch.bincount(index_M[kind_M], minlength=len(scores_T)) for kind_M in (same_M, ~same_M)
    )
    return Counts(scores_T, same_T, other_T)


def verification_accuracy(scores_M: Tensor, pairs: Pairs) -> float:
    """Mean accuracy over the folds, each with the threshold that is best on the other folds.

    A pair is accepted if its score is at least the threshold; thresholds lie midway between
    neighbouring scores of the other folds, and of equally good ones the lowest is taken. This is
    how LFW's view 2 is read (Huang et al. 2007). NaN with a single fold, where a score is not
    finite, and where a kind of pair is missing among those that a threshold is taken from.
    """
    scores_M = scores_M.double()
    accuracies = []
    for fold in pairs.fold.unique():
        held = pairs.fold == fold
        rest = counted(scores_M[~held], pairs.same[~held])
        if rest is None:
            return math.nan
        accepted = scores_M[held] >= _best_threshold(rest)
        accuracies.append(float((accepted == pairs.same[held]).double().mean()))
    return sum(accuracies) / len(accuracies) if len(accuracies) > 1 else math.nan


def _best_threshold(counts: Counts) -> float:
    # Threshold k accepts the scores from the k-th up: right are the same pairs there and the
    # other pairs below.
    none = counts.same.new_zeros(1)
    right = torch.cat([counts.same.flip(0).cumsum(0).flip(0), none])
    right += torch.cat([none, counts.other.cumsum(0)])
    best = int((right == right.max()).nonzero()[0])
    if best == 0:
        return -math.inf
    if best == len(counts.scores):
        return math.inf
    low, high = (Fraction(counts.scores[k].item()) for k in (best - 1, best))
    exact = (low + high) / 2
    # Rounded up where it has to be rounded: a score accepts or not as by the exact middle, also
    # between neighbours in float64, where rounding down would accept the lower one.
    middle = float(exact)
    return middle if middle >= exact else math.nextafter(middle, math.inf)


def accepts(counts: Counts) -> tuple[Tensor, Tensor]:
    """False and true accepts (T + 1, int64) from the threshold that accepts nothing down to the
    one that accepts every pair, a step a distinct score."""
    none = counts.same.new_zeros(1)
    false_accepts, true_accepts = (
        torch.cat([none, kind_T.flip(0).cumsum(0)]) for kind_T in (counts.other, counts.same)
    )
    return false_accepts, true_accepts


def receiver_operating(
    scores_M: Tensor, same_M: Tensor, *, corners_only: bool = False
) -> tuple[Tensor, Tensor] | None:
    """False and true accept rates (float64, rising from 0 to 1) at every threshold that separates
    pairs apart, or only where their curve bends; None where a kind of pair is missing or a score
    is not finite.

    The points of scikit-learn's `roc_curve`: one that is left out lies midway between its
    neighbours, for the steps to it and from it accept as many pairs of either kind.
    """
    counts = counted(scores_M, same_M)
    if counts is None:
        return None
    curve = accepts(counts)
    kept = torch.ones(len(curve[0]), dtype=torch.bool)
    if corners_only and len(kept) > 3:
        kept[2:-1] = torch.stack([of[1:].diff(n=2) != 0 for of in curve]).any(0)
    false_accept, true_accept = (of[kept].double() / of[-1].double() for of in curve)
    return false_accept, true_accept


def error_rates(scores_M: Tensor, same_M: Tensor) -> dict[str, float]:
    """Over all pairs, without folds: the equal error rate, and the share of same pairs accepted
    where at most 1% and 0.1% of the others are (TAR at FAR); NaN where a kind of pair is missing
    or a score is not finite.

    The equal error rate is the mean of false accept rate (FAR) and false reject rate (FRR) at the
    threshold where they are nearest, of equally near ones the highest: torchmetrics'
    `binary_eer`, but that which is nearest is decided on whole numbers of pairs. Nothing is
    interpolated: where many scores are equal, no threshold may come near FAR = FRR, and the rate
    is of one that there is. With 3,000 pairs of different identities, 0.1% are three pairs: read
    that one as a rough figure.
    """
    counts = counted(scores_M, same_M)
    if counts is None:
        names = ("equal_error_rate", "tar_at_far_1_percent", "tar_at_far_0_1_percent")
        return dict.fromkeys(names, math.nan)
    false_accepts, true_accepts = accepts(counts)
    others, sames = int(false_accepts[-1]), int(true_accepts[-1])
    # FAR - FRR times both numbers of pairs.
    apart = (false_accepts * sames - (sames - true_accepts) * others).abs()
    nearest = int((apart == apart.min()).nonzero()[0])
    far, tar = int(false_accepts[nearest]) / others, int(true_accepts[nearest]) / sames

    def accepted(one_in: int) -> float:
        """TAR where at most one in so many of the others is accepted."""
        return int(true_accepts[false_accepts * one_in <= others].max()) / sames

    return {
        # FRR as 1 - TAR, so that the figures recorded before come out again to the last bit.
        "equal_error_rate": (far + (1 - tar)) / 2,
        "tar_at_far_1_percent": accepted(100),
        "tar_at_far_0_1_percent": accepted(1_000),
    }
