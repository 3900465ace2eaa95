"""Losses over mined triplets: value and gradient in one sweep over the blocks of a batch.

Legend: R anchors of a block, K positives of an anchor, B batch; distances are squared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..machines.distances import Points, add_gradient, blocks, points, squared_distances
from ..machines.positives import Positives, positives
from .mining import hardest, semi_hard_negatives

# A mined triplet's gradient through its three rows costs about as much as 32 columns of the
# product of all slopes with all embeddings (measured on an AVX-512 CPU at D = 128).
_COLUMNS_PER_TRIPLET = 32


def sweep_batch_hard(
    embeddings: Tensor, labels: Tensor, weights_B: Tensor | None, gradient: bool, *, margin: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As `batch_all.sweep`, of the hardest positive and negative of each anchor."""
    these, table = points(embeddings), positives(labels)
    gradient_BD = torch.zeros_like(these.x_BD) if gradient else None
    terms, counts = [], []
    for rows in blocks(len(labels), embeddings):
        positive_R, negative_R = hardest(squared_distances(these, rows)[0], table.of(rows))
        real_R = (positive_R >= 0) & (negative_R >= 0)
        weights_R = None if weights_B is None else weights_B[rows]
        terms.append(
            _triplets(
                these, rows, positive_R.clamp(min=0), negative_R.clamp(min=0), real_R, margin,
                weights_R, gradient_BD,
            )
        )  # fmt: skip
        counts.append(real_R.sum())
    return torch.cat(terms), torch.stack(counts).sum(), gradient_BD


def sweep_semi_hard(
    embeddings: Tensor, labels: Tensor, weights_B: Tensor | None, gradient: bool, *, margin: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As `batch_all.sweep`, of the negatives that `mining.semi_hard_negatives` takes."""
    these, table = points(embeddings, slots=2), positives(labels)
    gradient_BD = torch.zeros_like(these.x_BD) if gradient else None
    terms, counts = [], []
    for rows in blocks(len(labels), embeddings):
        part = table.of(rows)
        d2_RB, _ = squared_distances(these, rows)
        # Without a negative there is no triplet.
        real_RK = part.valid_RK & (part.sizes_R < len(labels))[:, None]
        counts.append(real_RK.sum())
        weights_R = None if weights_B is None else weights_B[rows]
        each = _each_triplet if _few(part) else _all_slopes
        terms.append(each(these, rows, part, d2_RB, real_RK, margin, weights_R, gradient_BD))
    return torch.cat(terms), torch.stack(counts).sum(), gradient_BD


def _few(part: Positives) -> bool:
    if part.column_RK is None:
        return False
    return part.column_RK.shape[1] * _COLUMNS_PER_TRIPLET <= len(part.labels_B)


def _each_triplet(
    these: Points,
    rows: slice,
    part: Positives,
    d2_RB: Tensor,
    real_RK: Tensor,
    margin: float,
    weights_R: Tensor | None,
    gradient_BD: Tensor | None,
) -> Tensor:
    """Terms (R), the gradient by way of each triplet's three rows: O(R K D)."""
    negative_RK, _ = semi_hard_negatives(d2_RB, part)
    column_RK, terms_R = part.columns(), d2_RB.new_zeros(len(d2_RB))
    for k in range(column_RK.shape[1]):
        terms_R += _triplets(
            these, rows, column_RK[:, k], negative_RK[:, k], real_RK[:, k], margin,
            weights_R, gradient_BD,
        )  # fmt: skip
    return terms_R


def _all_slopes(
    these: Points,
    rows: slice,
    part: Positives,
    d2_RB: Tensor,
    real_RK: Tensor,
    margin: float,
    weights_R: Tensor | None,
    gradient_BD: Tensor | None,
) -> Tensor:
    """Terms (R), the gradient by way of the slopes of all distances: O(R B D)."""
    d_ap = part.distances(d2_RB)
    negative_RK, d_an = semi_hard_negatives(d2_RB, part)
    hinge_RK = torch.where(real_RK, (d_ap - d_an + margin).clamp(min=0), 0.0)
    if gradient_BD is not None:
        active_RK = hinge_RK.sign() if weights_R is None else hinge_RK.sign() * weights_R[:, None]
        slope_RB = these.block(1, rows).zero_()
        slope_RB.scatter_add_(1, part.columns(), active_RK)
        slope_RB.scatter_add_(1, negative_RK, -active_RK)
        add_gradient(gradient_BD, slope_RB, these, rows, spare_RB=d2_RB)
    return hinge_RK.sum(dim=1)


def _triplets(
    these: Points,
    rows: slice,
    positive_R: Tensor,
    negative_R: Tensor,
    real_R: Tensor,
    margin: float,
    weights_R: Tensor | None,
    gradient_BD: Tensor | None,
) -> Tensor:
    """Hinges (R) of one triplet for each anchor of a block, from differences; 0 where not real.
    Adds the gradient of their weighted sum to ``gradient_BD``."""
    x_BD, x_RD = these.x_BD, these.x_BD[rows]
    near_RD, far_RD = x_RD - x_BD[positive_R], x_RD - x_BD[negative_R]
    d_ap, d_an = torch.linalg.vecdot(near_RD, near_RD), torch.linalg.vecdot(far_RD, far_RD)
    hinge_R = torch.where(real_R, (d_ap - d_an + margin).clamp(min=0), 0.0)
    if gradient_BD is not None:
        slope_R = 2 * hinge_R.sign()
        if weights_R is not None:
            slope_R = slope_R * weights_R
        near_RD *= slope_R[:, None]
        far_RD *= slope_R[:, None]
        gradient_BD[rows] += near_RD - far_RD
        gradient_BD.index_add_(0, positive_R, near_RD, alpha=-1)
        gradient_BD.index_add_(0, negative_R, far_RD)
    return hinge_R
