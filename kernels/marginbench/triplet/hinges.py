"""Hinges of a block of anchors; those too near an edge for float32 are decided in float64.

A triplet is open where rounding may take it over an edge: from beyond the positive to nearer, where
semi-hard mining is strict, or from inside the margin to outside. Exact distances (`shared.exact`)
decide on which side it is.

A hinge is exactly 0 where two squared distances differ by exactly the margin. Those are sums of
products of binary fractions: a margin of many binary digits (0.2) they meet by chance alone,
almost never, but one of a few digits (0, 0.25) regularly, on duplicates and quantised codes.
Only for such a margin is that edge examined; and where the margin is lost in the rounding of the
distances, for then what is equal seems to be at the edge.

Legend: R anchors, K positives of an anchor, B columns, n entries of R x K, T triplets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..shared.exact import Exact


@dataclass(frozen=True)
class Rule:
    """Which triplets count and what is wanted of them: ``beyond``, only those with d_an > d_ap;
    ``slopes``, derivatives; ``counts``, how many hinges are above zero."""

    margin: float
    beyond: bool
    slopes: bool
    counts: bool


@dataclass(frozen=True)
class Hinges:
    """Of a block: sums, by anchor (R) or by anchor and positive (R x K); active_RK triplets with a
    hinge above zero by positive, and slope_RB, the sums' derivatives by d2, both None where not
    wanted."""

    sums: Tensor
    active_RK: Tensor | None
    slope_RB: Tensor | None


@dataclass(frozen=True)
class Open:
    """Open triplets (T): the anchor's row in its block, the place of the positive in the table of
    hinges, its column and that of the negative, and the hinge (0 if not active) as it was added."""

    row: Tensor
    place: Tensor
    positive: Tensor
    negative: Tensor
    hinge: Tensor


def may_meet(margin: float) -> bool:
    """Whether distances of duplicates and quantised codes may differ by exactly the margin."""
    return (margin * 2.0**40).is_integer()


def looks_at_edge(margin: float, exact: Exact) -> bool:
    """Whether rounding may take a triplet over the edge where its hinge is 0."""
    return exact.tolerance > 0.0 and (may_meet(margin) or margin <= exact.tolerance)


def may_flip(hinge_N: Tensor, squares_N: Tensor, margin: float, dim: int) -> bool:
    """Whether a float32 hinge d_ap - d_an + margin, made of differences of ``dim`` columns, may be
    on the wrong side of 0; squares_N: d_ap + d_an."""
    rounding_N = (dim + 10) * torch.finfo(torch.float32).eps / 2 * (squares_N + margin)
    open_N = hinge_N.abs() <= rounding_N
    if not may_meet(margin):
        open_N &= rounding_N >= margin
    return bool(open_N.any())


def settle(
    hinge: Tensor, real: Tensor, positive: Tensor, negative: Tensor, exact: Exact, margin: float
) -> None:
    """Makes hinges d_ap - d_an + margin (R or R x K, not yet cut off) exact where they are open.
    ``real``: which count; positive, negative: their columns."""
    if not looks_at_edge(margin, exact):
        return
    at = torch.nonzero((hinge.abs() <= exact.tolerance) & real, as_tuple=True)
    d_ap, d_an = (exact.distances(at[0], column[at]) for column in (positive, negative))
    hinge[at] = (d_ap - d_an + margin).to(hinge.dtype)


def correct(hinges: Hinges, triplets: Open, rule: Rule, exact: Exact) -> Tensor:
    """Takes open triplets out of what they were added to, and adds them as they are, but for the
    sums. Returns their hinges (T, float64)."""
    partners = torch.cat((triplets.positive, triplets.negative))
    d_ap, d_an = exact.distances(triplets.row.repeat(2), partners).chunk(2)
    hinge_T = (d_ap - d_an + rule.margin).clamp_(min=0)
    if rule.beyond:
        hinge_T *= (d_ap < d_an) & (d_an < d_ap + rule.margin)
    change_T = (hinge_T.sign() - triplets.hinge.sign()).float()
    if hinges.active_RK is not None:
        at = (triplets.row, triplets.place)
        hinges.active_RK.index_put_(at, change_T, accumulate=True)
    if hinges.slope_RB is not None:
        at = (triplets.row, triplets.negative)
        hinges.slope_RB.index_put_(at, -change_T, accumulate=True)
    return hinge_T
