"""All triplets of a batch without B^3: hinges and their slopes from B x B distances.

For an anchor with K positives, the hinges over its negatives are those of K thresholds,
[t_k - d_n]_+ with t_k = d_k + margin. Two ways, the same function:

- by rank of the positive: one vectorised pass over the block for each k. O(B^2 K), all additions.
- by search: sort the thresholds; the rank of a d_n among them says how many exceed it, and a
  histogram of the ranks how many negatives lie below each threshold. O(B^2 log K).

Legend: R anchors of a block, K positives of an anchor, B batch; d_ap (R x K) and d_an (R x B)
squared distances, the latter huge where a column is no negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..machines.distances import Points, add_gradient, blocks, points, squared_distances
from ..machines.positives import Positives, positives

# Positives per anchor up to which a pass each beats sorting and searching (measured on an AVX-512
# CPU at B = 256 to 2048: equal at 50 to 75).
FEW = 56


@dataclass(frozen=True)
class Rule:
    """Which triplets count and what is wanted of them: ``beyond``, only those with d_an > d_ap;
    ``slopes``, derivatives; ``counts``, how many hinges are above zero. ``few``: see `FEW`."""

    margin: float
    beyond: bool
    slopes: bool
    counts: bool
    few: int


@dataclass(frozen=True)
class Hinges:
    """Of a block: sums_R by anchor; active_RK triplets with a hinge above zero by positive, and
    slope_RB, the sums' derivatives by d2, both None where not wanted."""

    sums_R: Tensor
    active_RK: Tensor | None
    slope_RB: Tensor | None


def sweep(
    embeddings: Tensor,
    labels: Tensor,
    weights_B: Tensor | None,
    gradient: bool,
    *,
    margin: float,
    beyond: bool = False,
    divisor: str = "valid",
    few: int = FEW,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sums of hinges by anchor (B), the divisor of their mean, and the gradient (B x D) of the
    sum of weights_B (1 if None) times them, or None unless asked for. See `Rule`."""
    these, table = points(embeddings, slots=4 if beyond else 3), positives(labels)
    rule = Rule(margin, beyond, gradient, divisor == "active", few)
    gradient_BD = torch.zeros_like(these.x_BD) if gradient else None
    sums, counts = [], []
    for rows in blocks(len(labels), embeddings):
        hinges = _hinges(these, rows, table.of(rows), rule)
        sums.append(hinges.sums_R)
        if rule.counts and hinges.active_RK is not None:
            counts.append(hinges.active_RK.sum(dtype=torch.float64))
        if gradient_BD is not None and hinges.slope_RB is not None:
            if weights_B is not None:
                hinges.slope_RB.mul_(weights_B[rows, None])
            spare_RB = these.block(0, rows)
            add_gradient(gradient_BD, hinges.slope_RB, these, rows, spare_RB)
    if not rule.counts:
        counts = [((table.sizes_B - 1) * (len(labels) - table.sizes_B)).sum()]
    return torch.cat(sums), torch.stack(counts).sum().long(), gradient_BD


def _hinges(these: Points, rows: slice, part: Positives, rule: Rule) -> Hinges:
    d2_RB, _ = squared_distances(these, rows)
    d_ap = part.distances(d2_RB)
    d_an = part.negatives(d2_RB, torch.finfo(d2_RB.dtype).max)
    if part.column_RK is not None and d_ap.shape[1] <= rule.few:
        hinges = _by_rank(d_ap, d_an, part.valid_RK, rule, these, rows)
        column_RK = part.column_RK
    else:
        hinges, order_RK = _by_search(d_ap, d_an, part.valid_RK, rule)
        column_RK = part.columns().gather(1, order_RK)
    if hinges.slope_RB is not None and hinges.active_RK is not None:
        hinges.slope_RB.scatter_add_(1, column_RK, hinges.active_RK)
    return hinges


def _by_rank(
    d_ap: Tensor, d_an: Tensor, valid_RK: Tensor, rule: Rule, these: Points, rows: slice
) -> Hinges:
    """``these`` lends the memory."""
    threshold_RK = torch.where(valid_RK, d_ap + rule.margin, -torch.inf)
    sums_R = d_an.new_zeros(len(d_an))
    active_RK = torch.empty_like(d_ap) if rule.slopes or rule.counts else None
    slope_RB = these.block(1, rows).zero_() if rule.slopes else None
    hinge_RB = these.block(2, rows)
    further_RB = these.block(3, rows) if rule.beyond else None
    # Signs, not comparisons: a pass that makes booleans costs several that make floats.
    for k in range(d_ap.shape[1]):
        torch.sub(threshold_RK[:, k, None], d_an, out=hinge_RB).clamp_(min=0)
        if further_RB is not None:
            torch.sub(d_an, d_ap[:, k, None], out=further_RB).sign_().clamp_(min=0)
            hinge_RB.mul_(further_RB)
        sums_R += hinge_RB.sum(dim=1)
        if active_RK is not None:
            torch.sum(hinge_RB.sign_(), dim=1, out=active_RK[:, k])
        if slope_RB is not None:
            slope_RB.sub_(hinge_RB)
    return Hinges(sums_R, active_RK, slope_RB)


def _by_search(d_ap: Tensor, d_an: Tensor, valid_RK: Tensor, rule: Rule) -> tuple[Hinges, Tensor]:
    """Hinges with active_RK in the rising order of d_ap, and that order (R x K)."""
    near_RK, order_RK = torch.where(valid_RK, d_ap, torch.inf).sort(dim=1)
    threshold_RK = near_RK + rule.margin
    real_RK = near_RK < torch.inf
    # The active positives of a negative are those of rank first .. last - 1.
    last_RB = (
        torch.searchsorted(near_RK, d_an)
        if rule.beyond
        else real_RK.sum(dim=1, keepdim=True).expand_as(d_an)
    )
    first_RB = torch.searchsorted(threshold_RK, d_an, right=True).minimum(last_RB)
    counts_RK = _histogram(first_RB, like=d_ap)
    if rule.beyond:
        counts_RK -= _histogram(last_RB, like=d_ap)
    active_RK = torch.where(real_RK, counts_RK.cumsum(dim=1), 0.0)
    number_RB = (last_RB - first_RB).to(d_an.dtype)
    # The sum of t_k - d_n over the active (k, n), both taken from the highest threshold: the
    # terms are then as small as the hinges, and little cancels.
    top_R1 = torch.where(real_RK, threshold_RK, 0.0).amax(dim=1, keepdim=True)
    below_RK = torch.where(real_RK, top_R1 - threshold_RK, 0.0)
    sums_R = (number_RB * (top_R1 - d_an)).sum(dim=1) - (active_RK * below_RK).sum(dim=1)
    return Hinges(sums_R, active_RK, number_RB.neg_() if rule.slopes else None), order_RK


def _histogram(rank_RB: Tensor, like: Tensor) -> Tensor:
    """How many of a row have each of the ranks 0 .. K - 1, shape and dtype as ``like`` (R x K)."""
    counts = like.new_zeros(like.shape[0], like.shape[1] + 1)
    return counts.scatter_add_(1, rank_RB, like.new_ones(1, 1).expand_as(rank_RB))[:, :-1]
