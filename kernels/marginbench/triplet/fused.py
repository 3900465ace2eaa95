"""The triplet loss and its mining rules in Triton. Same functions as eager, without float64.

The kernels: `fused_explicit`, `fused_hard` (batch hard), `fused_semi_hard`, and `fused_all` (all
triplets of a batch, or all semi-hard ones). Squared Euclidean distances throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import (
    check_batch,
    check_choice,
    check_number,
    check_reduction,
    check_triplets,
)
from ..shared.launching import check_fused
from ..shared.reduction import reduce
from .fused_all import all_terms
from .fused_explicit import explicit_terms
from .fused_groups import groups_of, positive_pairs
from .fused_hard import hard_terms
from .fused_semi_hard import semi_hard_negatives, semi_hard_terms


def _check(embeddings: Tensor, labels: Tensor, margin: float, reduction: str) -> float:
    """Checks what each takes, and returns the margin as Python's own number."""
    check_batch(embeddings, labels)
    check_fused(embeddings)
    check_reduction(reduction)
    return check_number("margin", margin, 0)


def explicit(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
) -> Tensor:
    """[||a - p||^2 - ||a - n||^2 + margin]_+ of each row; mean divides by N.

    anchor, positive, negative (N x D; float32, bfloat16 or float16). At the kink the sub-gradient
    is 0. Returns float32: (N,) for reduction ``none``, else a scalar. Raises InputError naming the
    argument. Source: FaceNet 2015, section 3.1.
    """
    check_triplets(anchor, positive, negative)
    check_fused(anchor, "anchor")
    margin = check_number("margin", margin, 0)
    check_reduction(reduction)
    return reduce(explicit_terms(anchor, positive, negative, margin), reduction)


def batch_all(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    divisor: str = "valid",
    reduction: str = "mean",
) -> Tensor:
    """l_a = the sum of [d_ap - d_an + margin]_+ over all positives and negatives of an anchor;
    mean divides by the valid triplets, or with ``divisor="active"`` by those with a hinge above 0.

    embeddings (B x D; float32, bfloat16 or float16), labels (B, int64). Keeps one B x B float32
    matrix for backward, two while forward runs; never B^3. Returns float32: (B,) for reduction
    ``none``, else a scalar. Raises InputError naming the argument. Source: Hermans, Beyer, Leibe
    2017, section 2.
    """
    margin = _check(embeddings, labels, margin, reduction)
    check_choice("divisor", divisor, ("valid", "active"))
    counts = torch.is_grad_enabled() and embeddings.requires_grad
    terms_B, active_B, _ = all_terms(embeddings, labels, margin, False, counts)
    if reduction != "mean":
        return reduce(terms_B, reduction)
    if divisor == "active":
        return reduce(terms_B, reduction, divisor=active_B.sum())
    groups = groups_of(labels)
    return reduce(terms_B, reduction, divisor=(groups.positives * groups.negatives).sum())


def semi_hard_all(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """l_a = the sum of d_ap - d_an + margin over the triplets of an anchor with
    d_ap < d_an < d_ap + margin; mean divides by the number of such triplets.

    Arguments, memory, result and errors as for `batch_all`. Source: FaceNet 2015, section 3.2.
    """
    margin = _check(embeddings, labels, margin, reduction)
    counts = torch.is_grad_enabled() and embeddings.requires_grad
    terms_B, selected_B, _ = all_terms(embeddings, labels, margin, True, counts)
    return reduce(terms_B, reduction, divisor=selected_B.sum())


def batch_hard(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """[max_p d_ap - min_n d_an + margin]_+ of each anchor that has a positive and a negative, 0 of
    others; mean divides by the number of such anchors.

    embeddings (B x D; float32, bfloat16 or float16), labels (B, int64). Of equally hard samples
    the one with the lowest index is taken. No B x B tensor. Returns float32: (B,) for reduction
    ``none``, else a scalar. Raises InputError naming the argument. Source: Hermans, Beyer, Leibe
    2017, section 2, with squared distances.
    """
    margin = _check(embeddings, labels, margin, reduction)
    terms_B, positive_B, negative_B = hard_terms(embeddings, labels, margin)
    found_B = (positive_B >= 0) & (negative_B >= 0)
    return reduce(terms_B, reduction, divisor=found_B.sum())


def semi_hard(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """The sum over an anchor's positives p of [d_ap - d_an + margin]_+, where n is the nearest
    negative with d_an > d_ap, or the farthest negative where none is; mean divides by the pairs
    (a, p) whose anchor has a negative.

    embeddings (B x D; float32, bfloat16 or float16), labels (B, int64). Of equally distant
    negatives the one with the lowest index is taken. No B x B tensor; backward keeps an index for
    each pair and waits for the device once. Returns float32: (B,) for reduction ``none``, else a
    scalar. Raises InputError naming the argument. Source: FaceNet 2015, section 3.2; the farthest
    negative as in TensorFlow's triplet_semihard_loss.
    """
    margin = _check(embeddings, labels, margin, reduction)
    terms_B, pairs_B = semi_hard_terms(embeddings, labels, margin)
    return reduce(terms_B, reduction, divisor=pairs_B.sum())


@torch.no_grad()
def mine_batch_hard(
    embeddings: Tensor, labels: Tensor, *, reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    """The positive and the negative that `batch_hard` takes: two tensors (B, int64), -1 where
    there is none. ``reduction`` changes nothing: indices have none."""
    _check(embeddings, labels, 0.0, reduction)
    _, positive_B, negative_B = hard_terms(embeddings, labels, 0.0)
    return positive_B, negative_B


@torch.no_grad()
def mine_semi_hard(
    embeddings: Tensor, labels: Tensor, *, reduction: str = "mean"
) -> tuple[Tensor, Tensor, Tensor]:
    """The triplets that `semi_hard` takes: anchors, positives and negatives (T, int64), a row for
    each pair of an anchor and a positive whose anchor has a negative, in row-major order.

    Waits for the device once, to learn T. ``reduction`` changes nothing: indices have none.
    """
    _check(embeddings, labels, 0.0, reduction)
    groups = groups_of(labels)
    total = int(groups.pairs.sum())
    anchors, positives = positive_pairs(groups, total)
    return anchors, positives, semi_hard_negatives(embeddings, labels, total)
