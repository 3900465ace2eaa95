"""All pairs of a batch in one sweep over blocks of their distances: value and gradient.

Every pair is first treated as one of different identities, in passes over whole blocks; the few of
one identity are then corrected, by their columns.

Legend: R rows of a block, B batch, K positives of a row; D2 and D squared and plain distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..shared.distance_gradients import symmetric_gradient
from ..shared.distances import (
    Pairs,
    Points,
    blocks,
    close_pairs,
    points,
    reference_distances,
    squared_distances,
)
from ..shared.positives import Positives, positives

# Of a distance of float32: a square of less than about its own is not normal.
_SHORT = 2.0**-60


def sweep(
    embeddings: Tensor, labels: Tensor, weights_B: Tensor | None, gradient: bool, *, margin: float
) -> tuple[Tensor, int, Tensor | None]:
    """Half the sum of each row's pair losses (B), the number of unordered pairs, and the gradient
    (B x D) of the sum of weights_B (1 if None) times the terms, or None unless asked for."""
    these, table = points(embeddings, slots=3), positives(labels)
    terms, gradients = [], []
    for rows in blocks(len(labels), embeddings):
        d2_RB, close = squared_distances(these, rows)
        if gradient and close is None and d2_RB.dtype == torch.float64:
            close = close_pairs(d2_RB, these, rows)
        part = table.of(rows)
        d2_same = torch.where(part.valid_RK, part.distances(d2_RB), 0.0).sum(dim=1)
        distance_RB = d2_RB.sqrt_()
        if close is not None:
            _restore_short(distance_RB, these, rows, close)
        # At an infinite distance a pair of one identity pushes nothing and has no slope.
        distance_RB = part.negatives(distance_RB, torch.inf)
        # Minus the push: how much nearer than the margin a pair is.
        excess_RB = torch.sub(distance_RB, margin, out=these.block(1, rows)).clamp_(max=0)
        terms.append((torch.linalg.vecdot(excess_RB, excess_RB) + d2_same) / 4)
        if gradient:
            slope_RB = _slopes(excess_RB, distance_RB, part, these.block(2, rows))
            if weights_B is not None:
                slope_RB.mul_(weights_B[rows, None] + weights_B).div_(2)
            gradients.append(symmetric_gradient(slope_RB, these, rows, close))
    count = len(labels)
    return torch.cat(terms), count * (count - 1) // 2, torch.cat(gradients) if gradient else None


def _restore_short(distance_RB: Tensor, these: Points, rows: slice, close: Pairs) -> None:
    """Distances whose squares float32 does not hold, in float64."""
    at = torch.nonzero(distance_RB[close.row, close.column] < _SHORT)[:, 0]
    short = Pairs(close.row[at], close.column[at])
    distances_K = reference_distances(these, rows, short).sqrt_()
    distance_RB[short.row, short.column] = distances_K.to(distance_RB.dtype)


def _slopes(excess_RB: Tensor, distance_RB: Tensor, part: Positives, sign_RB: Tensor) -> Tensor:
    """Twice the derivative of each pair's loss by D2: 1 for one identity, -push / D for two, 0 at
    D = 0. Overwrites all that it is given.

    Half of the pair (i, j) is in the terms of i and half in those of j, so the gradient of the
    terms' sum is the sum over j of slope_ij (x_i - x_j).
    """
    torch.sign(distance_RB, out=sign_RB)
    excess_RB.div_(distance_RB.clamp_(min=torch.finfo(distance_RB.dtype).tiny)).mul_(sign_RB)
    if part.column_RK is None:
        return excess_RB.masked_fill_(part.valid_RK, 1.0)
    return excess_RB.scatter_(1, part.column_RK, part.valid_RK.to(excess_RB.dtype))
