"""The triplet loss and its mining rules in Triton. Same functions as eager, without float64.

The kernels: `fused_explicit`, `fused_hard` (batch hard), `fused_semi_hard`, and `fused_all` (all
triplets of a batch, or all semi-hard ones). Squared Euclidean distances throughout.
"""

from __future__ import annotations

import functools

import torch

from ..shared.forms import checked, of_terms
from ..shared.launching import check_fused
from ..shared.reduction import reduce
from . import arguments
from .fused_all import all_terms
from .fused_explicit import explicit_terms
from .fused_groups import groups_of, positive_pairs
from .fused_hard import hard_terms
from .fused_semi_hard import semi_hard_negatives, semi_hard_terms


@of_terms(arguments.explicit, on=functools.partial(check_fused, name="anchor"))
def explicit(anchor, positive, negative, margin):
    """[||a - p||^2 - ||a - n||^2 + margin]_+ of each row (FaceNet 2015, section 3.1). At the kink
    the sub-gradient is 0."""
    return explicit_terms(anchor, positive, negative, margin)


@checked(arguments.batch_all, on=check_fused)
def batch_all(embeddings, labels, margin, divisor, reduction):
    """l_a = the sum of [d_ap - d_an + margin]_+ over all positives and negatives of an anchor
    (Hermans, Beyer, Leibe 2017, section 2).

    Keeps one B x B float32 matrix for backward, two while forward runs; never B^3.
    """
    counts = torch.is_grad_enabled() and embeddings.requires_grad
    terms_B, active_B, _ = all_terms(embeddings, labels, margin, False, counts)
    if reduction != "mean":
        return reduce(terms_B, reduction)
    if divisor == "active":
        return reduce(terms_B, reduction, divisor=active_B.sum())
    groups = groups_of(labels)
    return reduce(terms_B, reduction, divisor=(groups.positives * groups.negatives).sum())


@of_terms(arguments.batch, on=check_fused)
def semi_hard_all(embeddings, labels, margin):
    """l_a = the sum of d_ap - d_an + margin over the triplets of an anchor with
    d_ap < d_an < d_ap + margin (FaceNet 2015, section 3.2); mean divides by the number of such
    triplets. Memory as for `batch_all`."""
    counts = torch.is_grad_enabled() and embeddings.requires_grad
    terms_B, selected_B, _ = all_terms(embeddings, labels, margin, True, counts)
    return terms_B, selected_B.sum()


@of_terms(arguments.batch, on=check_fused)
def batch_hard(embeddings, labels, margin):
    """[max_p d_ap - min_n d_an + margin]_+ of each anchor that has a positive and a negative, 0 of
    others (Hermans, Beyer, Leibe 2017, section 2, with squared distances); mean divides by the
    number of such anchors. Of equally hard samples the one with the lowest index is taken. No
    B x B tensor."""
    terms_B, positive_B, negative_B = hard_terms(embeddings, labels, margin)
    found_B = (positive_B >= 0) & (negative_B >= 0)
    return terms_B, found_B.sum()


@of_terms(arguments.batch, on=check_fused)
def semi_hard(embeddings, labels, margin):
    """The sum over an anchor's positives p of [d_ap - d_an + margin]_+, where n is the nearest
    negative with d_an > d_ap, or the farthest negative where none is (FaceNet 2015, section 3.2;
    the farthest as in TensorFlow's triplet_semihard_loss); mean divides by the pairs (a, p) whose
    anchor has a negative. Of equally distant negatives the one with the lowest index is taken.

    No B x B tensor; backward keeps an index for each pair and waits for the device once.
    """
    terms_B, pairs_B = semi_hard_terms(embeddings, labels, margin)
    return terms_B, pairs_B.sum()


@torch.no_grad()
@checked(arguments.mining, on=check_fused)
def mine_batch_hard(embeddings, labels):
    """The positive and the negative that `batch_hard` takes: two tensors (B, int64), -1 where
    there is none."""
    _, positive_B, negative_B = hard_terms(embeddings, labels, 0.0)
    return positive_B, negative_B


@torch.no_grad()
@checked(arguments.mining, on=check_fused)
def mine_semi_hard(embeddings, labels):
    """The triplets that `semi_hard` takes: anchors, positives and negatives (T, int64), a row for
    each pair of an anchor and a positive whose anchor has a negative, in row-major order. Waits for
    the device once, to learn T."""
    groups = groups_of(labels)
    total = int(groups.pairs.sum())
    anchors, positives = positive_pairs(groups, total)
    return anchors, positives, semi_hard_negatives(embeddings, labels, total)
