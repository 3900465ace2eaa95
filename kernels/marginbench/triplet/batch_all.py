"""All triplets of a batch without B^3: hinges and their slopes from B x B distances.

For an anchor with K positives, the hinges over its negatives are those of K thresholds,
[t_k - d_n]_+ with t_k = d_k + margin. Two ways, the same function:

- by rank of the positive: one vectorised pass over the block for each k. O(B^2 K), all additions.
- by search: sort the thresholds; the rank of a d_n among them says how many exceed it, and a
  histogram of the ranks how many negatives lie below each threshold. O(B^2 log K).

Either finds the triplets that float32 leaves open, and `hinges.correct` puts these right.

Legend: R anchors of a block, K positives of an anchor, B batch; d_ap (R x K) and d_an (R x B)
squared distances, the latter huge where a column is no negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..shared.distance_gradients import TripletGradient, different_close
from ..shared.distances import Points, blocks, points, squared_distances
from ..shared.exact import Exact, windows
from ..shared.positives import Positives, positives
from .hinges import Hinges, Open, Rule, correct, looks_at_edge, may_meet

# Positives per anchor up to which a pass each beats sorting and searching (measured on an AVX-512
# CPU at B = 256 to 2048: equal at 50 to 75).
FEW = 56


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
    fine: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sums of hinges by anchor (B), the divisor of their mean, and the gradient (B x D) of the
    sum of weights_B (1 if None) times them, or None unless asked for. See `Rule`; ``fine``: see
    `TripletGradient`."""
    slots = 4 if beyond or may_meet(margin) else 3
    these, table = points(embeddings, slots), positives(labels)
    rule = Rule(margin, beyond, gradient, divisor == "active")
    total = TripletGradient.of(these, fine) if gradient else None
    sums, counts = [], []
    for rows in blocks(len(labels), embeddings):
        d2_RB, close = squared_distances(these, rows)
        part = table.of(rows)
        if gradient and not fine and different_close(close, part):
            return sweep(
                embeddings, labels, weights_B, True, margin=margin, beyond=beyond,
                divisor=divisor, few=few, fine=True,
            )  # fmt: skip
        hinges = _hinges(d2_RB, these, rows, part, rule, few)
        sums.append(hinges.sums if hinges.sums.ndim == 1 else hinges.sums.sum(dim=1))
        if rule.counts and hinges.active_RK is not None:
            counts.append(hinges.active_RK.sum(dtype=torch.float64))
        if total is not None and hinges.slope_RB is not None:
            if weights_B is not None:
                hinges.slope_RB.mul_(weights_B[rows, None])
            total.add_slopes(hinges.slope_RB, rows, spare_RB=these.block(0, rows))
    if not rule.counts:
        counts = [((table.sizes_B - 1) * (len(labels) - table.sizes_B)).sum()]
    number = torch.stack(counts).sum().long()
    return torch.cat(sums), number, None if total is None else total.total_BD


def _hinges(
    d2_RB: Tensor, these: Points, rows: slice, part: Positives, rule: Rule, few: int
) -> Hinges:
    d_ap = part.distances(d2_RB)
    d_an = part.negatives(d2_RB, torch.finfo(d2_RB.dtype).max)
    exact = Exact(these, rows)
    if part.column_RK is not None and d_ap.shape[1] <= few:
        hinges = _by_rank(d_ap, d_an, part, rule, exact)
        column_RK = part.column_RK
    else:
        hinges, column_RK = _by_search(d_ap, d_an, part, rule, exact)
    if hinges.slope_RB is not None and hinges.active_RK is not None:
        hinges.slope_RB.scatter_add_(1, column_RK, hinges.active_RK)
    return hinges


def _by_rank(d_ap: Tensor, d_an: Tensor, part: Positives, rule: Rule, exact: Exact) -> Hinges:
    """The memory is lent by `Points`."""
    these, rows, tolerance = exact.these, exact.rows, exact.tolerance
    edge = looks_at_edge(rule.margin, exact)
    # A hinge is the reach less d_an, or with ``beyond`` less d_an - d_ap.
    start_RK = torch.where(part.valid_RK, 0.0 if rule.beyond else d_ap, -torch.inf)
    reach_RK = start_RK + rule.margin
    sums_RK, hinge_RB = torch.empty_like(d_ap), these.block(2, rows)
    active_RK = torch.empty_like(d_ap) if rule.slopes or rule.counts else None
    slope_RB = these.block(1, rows).zero_() if rule.slopes else None
    nearest_KR = d_ap.new_full((2, *reversed(d_ap.shape)), torch.inf)
    # Signs and thresholds: a pass that makes booleans costs several that make floats.
    for k in range(d_ap.shape[1]):
        far_RB = d_an
        if rule.beyond:
            far_RB = _further(d_an, d_ap[:, k, None], tolerance, these.block(3, rows))
            torch.amin(far_RB, dim=1, out=nearest_KR[0, k])
        if tolerance:
            torch.sub(reach_RK[:, k, None], far_RB, out=hinge_RB)
        else:
            # The margin last: added to a distance that is far larger it would be lost.
            torch.sub(start_RK[:, k, None], far_RB, out=hinge_RB).add_(rule.margin)
        if edge:
            # Lent or, where only the distances' size asks for it, made.
            lent = len(these.memory) > 3
            spare_RB = these.block(3, rows) if lent else torch.empty_like(hinge_RB)
            torch.threshold(hinge_RB, -tolerance, torch.inf, out=spare_RB)
            torch.amin(spare_RB, dim=1, out=nearest_KR[1, k])
        torch.sum(hinge_RB.clamp_(min=0), dim=1, out=sums_RK[:, k])
        if active_RK is not None:
            torch.sum(hinge_RB.sign_(), dim=1, out=active_RK[:, k])
        if slope_RB is not None:
            slope_RB.sub_(hinge_RB)
    hinges = Hinges(sums_RK, active_RK, slope_RB)
    if tolerance and (rule.beyond or edge):
        open_KR = nearest_KR.amin(dim=0) <= tolerance
        _correct_ranked(hinges, open_KR.T & part.valid_RK, d_ap, d_an, reach_RK, part, rule, exact)
    return hinges


def _further(d_an: Tensor, d_ap: Tensor, tolerance: float, out_RB: Tensor) -> Tensor:
    """d_an - d_ap where that may be above 0, else inf."""
    return torch.threshold_(torch.sub(d_an, d_ap, out=out_RB), -tolerance, torch.inf)


def _correct_ranked(
    hinges: Hinges,
    open_RK: Tensor,
    d_ap: Tensor,
    d_an: Tensor,
    reach_RK: Tensor,
    part: Positives,
    rule: Rule,
    exact: Exact,
) -> None:
    """Decides the open triplets of the anchors and positives that have any."""
    for row, k in exact.entries(open_RK, d_an.shape[1]):
        far_nB = d_an[row]
        open_nB = torch.zeros_like(far_nB, dtype=torch.bool)
        if rule.beyond:
            far_nB = _further(far_nB, d_ap[row, k, None], exact.tolerance, far_nB)
            open_nB = far_nB <= exact.tolerance
        hinge_nB = reach_RK[row, k, None] - far_nB
        if looks_at_edge(rule.margin, exact):
            open_nB |= hinge_nB.abs() <= exact.tolerance
        entry, column = torch.nonzero(open_nB, as_tuple=True)
        row_T, k_T, hinge_T = row[entry], k[entry], hinge_nB.clamp_(min=0)[entry, column]
        triplets = Open(row_T, k_T, part.columns()[row_T, k_T], column, hinge_T)
        hinge_nB[entry, column] = correct(hinges, triplets, rule, exact).to(hinge_nB.dtype)
        hinges.sums[row, k] = hinge_nB.sum(dim=1)


def _by_search(
    d_ap: Tensor, d_an: Tensor, part: Positives, rule: Rule, exact: Exact
) -> tuple[Hinges, Tensor]:
    """Hinges with active_RK in the rising order of d_ap, and the columns in that order (R x K)."""
    near_RK, order_RK = torch.where(part.valid_RK, d_ap, torch.inf).sort(dim=1)
    threshold_RK = near_RK + rule.margin
    real_RK = near_RK < torch.inf
    # The active positives of a negative are those of rank first .. last - 1.
    last_RB = (
        torch.searchsorted(near_RK, d_an)
        if rule.beyond
        else real_RK.sum(dim=1, keepdim=True).expand_as(d_an)
    )
    ranked_RK = threshold_RK
    if rule.margin > 0.0 and exact.tolerance == 0.0:
        # Nothing is computed again: a margin that is lost beside the distance has to keep equals
        # within it here.
        beside_RK = torch.nextafter(near_RK, near_RK.new_tensor(torch.inf))
        ranked_RK = torch.maximum(threshold_RK, beside_RK)
    within_RB = torch.searchsorted(ranked_RK, d_an, right=True)
    first_RB = within_RB.minimum(last_RB)
    counts_RK = _histogram(first_RB, like=d_ap)
    if rule.beyond:
        counts_RK -= _histogram(last_RB, like=d_ap)
    active_RK = torch.where(real_RK, counts_RK.cumsum(dim=1), 0.0)
    number_RB = (last_RB - first_RB).to(d_an.dtype)
    edge = looks_at_edge(rule.margin, exact)
    edges = edge or (exact.tolerance > 0.0 and rule.beyond)
    # The sum of t_k - d_n over the active (k, n), both taken from the highest threshold: the
    # terms are then as small as the hinges, and little cancels. Where open triplets may have to
    # be taken out, in float64, so that nothing is left of them.
    bounded_RK = torch.where(real_RK, threshold_RK, 0.0)
    bounded_RK = bounded_RK.double() if edges else bounded_RK
    top_R1 = bounded_RK.amax(dim=1, keepdim=True)
    below_RK = torch.where(real_RK, top_R1 - bounded_RK, 0.0)
    sums_R = (number_RB * (top_R1 - d_an)).sum(dim=1) - (active_RK * below_RK).sum(dim=1)
    hinges = Hinges(sums_R, active_RK, number_RB.neg_() if rule.slopes else None)
    column_RK = part.columns().gather(1, order_RK)
    ranks = _Ranks(near_RK, threshold_RK, first_RB, last_RB, column_RK)
    if exact.tolerance and rule.beyond:
        _correct_searched(hinges, near_RK, last_RB, d_an, ranks, rule, exact)
    if edge:
        _correct_searched(hinges, threshold_RK, within_RB, d_an, ranks, rule, exact)
    return hinges, column_RK


@dataclass(frozen=True)
class _Ranks:
    """Positives in the rising order of d_ap, near_RK, and their columns; a negative's active ones
    are those of rank first .. last - 1."""

    near_RK: Tensor
    threshold_RK: Tensor
    first_RB: Tensor
    last_RB: Tensor
    column_RK: Tensor


def _correct_searched(
    hinges: Hinges,
    edge_RK: Tensor,
    rank_RB: Tensor,
    d_an: Tensor,
    ranks: _Ranks,
    rule: Rule,
    exact: Exact,
) -> None:
    """Computes the negatives next to an edge again: ``edge_RK`` the positives' distances or
    thresholds, rank_RB a negative's place among them."""
    tolerance, last = exact.tolerance, edge_RK.shape[1] - 1
    if last < 0:
        return
    open_RB = torch.zeros_like(d_an, dtype=torch.bool)
    for step in (-1, 0):
        beside_RB = edge_RK.gather(1, (rank_RB + step).clamp(0, last))
        open_RB |= (beside_RB - d_an).abs() <= tolerance
    for row, column in exact.entries(open_RB, len(edge_RK[0])):
        d_n1 = d_an[row, column, None]
        first_n1 = torch.searchsorted(edge_RK[row], d_n1 - tolerance)
        end_n1 = torch.searchsorted(edge_RK[row], d_n1 + tolerance, right=True)
        entry, place = windows(first_n1[:, 0], end_n1[:, 0])
        row, column, d_T = row[entry], column[entry], d_n1[entry, 0]
        near_T = ranks.near_RK[row, place]
        if rule.beyond and edge_RK is ranks.threshold_RK:
            # Those at the other edge are done.
            new = torch.nonzero((near_T - d_T).abs() > tolerance)[:, 0]
            row, column, place, d_T = row[new], column[new], place[new], d_T[new]
        added_T = (place >= ranks.first_RB[row, column]) & (place < ranks.last_RB[row, column])
        hinge_T = torch.where(added_T, ranks.threshold_RK[row, place].double() - d_T, 0.0)
        triplets = Open(row, place, ranks.column_RK[row, place], column, hinge_T)
        hinges.sums.index_add_(0, row, correct(hinges, triplets, rule, exact) - hinge_T)


def _histogram(rank_RB: Tensor, like: Tensor) -> Tensor:
    """How many of a row have each of the ranks 0 .. K - 1, shape and dtype as ``like`` (R x K)."""
    counts = like.new_zeros(like.shape[0], like.shape[1] + 1)
    return counts.scatter_add_(1, rank_RB, like.new_ones(1, 1).expand_as(rank_RB))[:, :-1]
