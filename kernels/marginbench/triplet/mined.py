"""Losses over mined triplets: value and gradient in one sweep over the blocks of a batch.

Legend: R anchors of a block, K positives of an anchor, B batch; distances are squared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..shared.distance_gradients import TripletGradient, different_close
from ..shared.distances import Points, blocks, points, squared_distances
from ..shared.exact import Exact
from ..shared.positives import Positives, positives
from .hinges import settle
from .mining import hardest, semi_hard_negatives

# A mined triplet's gradient through its three rows costs about as much as 32 columns of the
# product of all slopes with all embeddings (measured on an AVX-512 CPU at D = 128).
_COLUMNS_PER_TRIPLET = 32


@dataclass(frozen=True)
class _Block:
    """Anchors of a sweep: ``weights_R`` of their terms (None: 1), and what takes the gradient of
    these (None: nothing)."""

    these: Points
    rows: slice
    exact: Exact
    margin: float
    weights_R: Tensor | None
    gradient: TripletGradient | None

    def slopes(self, hinges: Tensor) -> Tensor:
        """1 where a hinge (R or R x K, cut off at 0) is above 0, times the anchor's weight."""
        active = hinges.sign()
        if self.weights_R is None:
            return active
        return active * (self.weights_R if active.ndim == 1 else self.weights_R[:, None])


def sweep_batch_hard(
    embeddings: Tensor, labels: Tensor, weights_B: Tensor | None, gradient: bool, *, margin: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As `batch_all.sweep`, of the hardest positive and negative of each anchor."""
    return _sweep(_hardest, points(embeddings), labels, weights_B, gradient, margin)


def sweep_semi_hard(
    embeddings: Tensor, labels: Tensor, weights_B: Tensor | None, gradient: bool, *, margin: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As `batch_all.sweep`, of the negatives that `mining.semi_hard_negatives` takes."""
    return _sweep(_semi_hard, points(embeddings, slots=2), labels, weights_B, gradient, margin)


def _sweep(
    mined: Callable[[_Block, Positives, Tensor], tuple[Tensor, Tensor]],
    these: Points,
    labels: Tensor,
    weights_B: Tensor | None,
    gradient: bool,
    margin: float,
    fine: bool = False,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """``mined`` gives the terms of a block's anchors (R) and how many triplets are real, and adds
    their gradient."""
    table = positives(labels)
    total = TripletGradient.of(these, fine) if gradient else None
    terms, counts = [], []
    for rows in blocks(len(labels), these.x_BD):
        d2_RB, close = squared_distances(these, rows)
        part = table.of(rows)
        if gradient and not fine and different_close(close, part):
            return _sweep(mined, these, labels, weights_B, True, margin, fine=True)
        weights_R = None if weights_B is None else weights_B[rows]
        block = _Block(these, rows, Exact(these, rows), margin, weights_R, total)
        terms_R, count = mined(block, part, d2_RB)
        terms.append(terms_R)
        counts.append(count)
    return torch.cat(terms), torch.stack(counts).sum(), None if total is None else total.total_BD


def _hardest(block: _Block, part: Positives, d2_RB: Tensor) -> tuple[Tensor, Tensor]:
    positive_R, negative_R = hardest(d2_RB, part, block.exact)
    real_R = (positive_R >= 0) & (negative_R >= 0)
    terms_R = _triplets(block, positive_R.clamp(min=0), negative_R.clamp(min=0), real_R)
    return terms_R, real_R.sum()


def _semi_hard(block: _Block, part: Positives, d2_RB: Tensor) -> tuple[Tensor, Tensor]:
    # Without a negative there is no triplet.
    real_RK = part.valid_RK & (part.sizes_R < len(part.labels_B))[:, None]
    count = real_RK.sum()
    each = _each_triplet if _few(part) else _all_slopes
    return each(block, part, d2_RB, real_RK), count


def _few(part: Positives) -> bool:
    if part.column_RK is None:
        return False
    return part.column_RK.shape[1] * _COLUMNS_PER_TRIPLET <= len(part.labels_B)


def _each_triplet(block: _Block, part: Positives, d2_RB: Tensor, real_RK: Tensor) -> Tensor:
    """Terms (R), the gradient by way of each triplet's three rows: O(R K D)."""
    negative_RK, _ = semi_hard_negatives(d2_RB, part, real_RK, block.exact)
    column_RK, terms_R = part.columns(), d2_RB.new_zeros(len(d2_RB))
    for k in range(column_RK.shape[1]):
        terms_R += _triplets(block, column_RK[:, k], negative_RK[:, k], real_RK[:, k])
    return terms_R


def _all_slopes(block: _Block, part: Positives, d2_RB: Tensor, real_RK: Tensor) -> Tensor:
    """Terms (R), the gradient by way of the slopes of all distances: O(R B D)."""
    d_ap = part.distances(d2_RB)
    negative_RK, d_an = semi_hard_negatives(d2_RB, part, real_RK, block.exact)
    hinge_RK = d_ap - d_an + block.margin
    settle(hinge_RK, real_RK, part.columns(), negative_RK, block.exact, block.margin)
    hinge_RK.clamp_(min=0).mul_(real_RK)
    if block.gradient is not None:
        slope_RK = block.slopes(hinge_RK)
        slope_RB = block.these.block(1, block.rows).zero_()
        slope_RB.scatter_add_(1, part.columns(), slope_RK)
        slope_RB.scatter_add_(1, negative_RK, -slope_RK)
        block.gradient.add_slopes(slope_RB, block.rows, spare_RB=d2_RB)
    return hinge_RK.sum(dim=1)


def _triplets(block: _Block, positive_R: Tensor, negative_R: Tensor, real_R: Tensor) -> Tensor:
    """Hinges (R) of one triplet for each anchor of a block, from differences; 0 where not real.
    Adds the gradient of their weighted sum."""
    x_BD = block.these.x_BD if block.gradient is None else block.gradient.x_BD
    p_RD, n_RD = x_BD[positive_R], x_BD[negative_R]
    near_RD, far_RD = x_BD[block.rows] - p_RD, x_BD[block.rows] - n_RD
    d_ap, d_an = torch.linalg.vecdot(near_RD, near_RD), torch.linalg.vecdot(far_RD, far_RD)
    hinge_R = d_ap - d_an + block.margin
    settle(hinge_R, real_R, positive_R, negative_R, block.exact, block.margin)
    hinge_R.clamp_(min=0).mul_(real_R)
    if block.gradient is not None:
        twice_R1 = 2 * block.slopes(hinge_R)[:, None]
        # Of the anchor: not near - far, which loses what is small where these are alike.
        block.gradient.total_BD[block.rows].addcmul_(n_RD.sub_(p_RD), twice_R1)
        block.gradient.total_BD.index_add_(0, positive_R, near_RD.mul_(twice_R1), alpha=-1)
        block.gradient.total_BD.index_add_(0, negative_R, far_RD.mul_(twice_R1))
    return hinge_R
