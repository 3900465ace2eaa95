"""Which positives and negatives a rule takes, for a block of anchors at a time.

Of equal candidates each rule takes the one with the lowest index. Legend: R anchors of a block, K
positives of an anchor, B batch, T triplets; d2 squared distances.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..machines.distances import blocks, points, squared_distances
from ..machines.positives import Positives, positives

# Positives per anchor up to which a search over the negatives for each beats sorting the negatives
# once (measured on an AVX-512 CPU at B = 512 to 2048: equal at about 20).
_FEW = 20
# Elements of a block of triplets (R x K x B).
_CUBE = 2**22


def hardest(d2_RB: Tensor, part: Positives) -> tuple[Tensor, Tensor]:
    """Farthest positive and nearest negative of each anchor (R, int64), -1 where none. May
    overwrite ``d2_RB``."""
    positive_R = _farthest_positive(d2_RB, part)
    negative_R = part.negatives(d2_RB, torch.finfo(d2_RB.dtype).max).min(dim=1).indices
    return positive_R, torch.where(part.sizes_R < len(part.labels_B), negative_R, -1)


def _farthest_positive(d2_RB: Tensor, part: Positives) -> Tensor:
    if part.valid_RK.shape[1] == 0:
        return torch.full((len(d2_RB),), -1, dtype=torch.int64, device=d2_RB.device)
    d_ap = torch.where(part.valid_RK, part.distances(d2_RB), -1.0)
    k_R1 = d_ap.max(dim=1, keepdim=True).indices
    return torch.where(part.valid_RK.gather(1, k_R1), part.columns().gather(1, k_R1), -1)[:, 0]


def semi_hard_negatives(d2_RB: Tensor, part: Positives) -> tuple[Tensor, Tensor]:
    """For each entry of the table (R x K) the nearest negative with d_an > d_ap, or the farthest
    negative where none is; and its d_an. Anything where the entry is not valid or the anchor has
    no negative. May overwrite ``d2_RB``."""
    d_ap = part.distances(d2_RB)
    huge = torch.finfo(d2_RB.dtype).max
    d_an = part.negatives(d2_RB, huge)
    if part.column_RK is None or d_ap.shape[1] > _FEW:
        return _by_sorting(d_ap, d_an, huge)
    nearest_RK, index_RK = torch.empty_like(d_ap), torch.empty_like(part.column_RK)
    for k in range(d_ap.shape[1]):
        beyond_RB = torch.where(d_an > d_ap[:, k, None], d_an, huge)
        nearest_RK[:, k], index_RK[:, k] = beyond_RB.min(dim=1)
    missing_RK = (nearest_RK == huge) & part.valid_RK
    rows = torch.nonzero(missing_RK.any(dim=1))[:, 0]
    if len(rows):
        few_RB = d_an[rows]
        farthest, column = torch.where(few_RB < huge, few_RB, -1.0).max(dim=1, keepdim=True)
        missing_RK = missing_RK[rows]
        nearest_RK[rows] = torch.where(missing_RK, farthest, nearest_RK[rows])
        index_RK[rows] = torch.where(missing_RK, column, index_RK[rows])
    return index_RK, nearest_RK


def _by_sorting(d_ap: Tensor, d_an: Tensor, huge: float) -> tuple[Tensor, Tensor]:
    # Stable: among equal distances the columns keep their order.
    sorted_RB, order_RB = d_an.sort(dim=1, stable=True)
    number_R1 = (d_an < huge).sum(dim=1, keepdim=True)
    farthest_R1 = sorted_RB.gather(1, (number_R1 - 1).clamp(min=0))
    first_farthest_R1 = torch.searchsorted(sorted_RB, farthest_R1)
    place_RK = torch.searchsorted(sorted_RB, d_ap, right=True)
    place_RK = torch.where(place_RK < number_R1, place_RK, first_farthest_R1)
    # Only a NaN could go beyond the row.
    place_RK = place_RK.clamp(max=d_an.shape[1] - 1)
    return order_RB.gather(1, place_RK), sorted_RB.gather(1, place_RK)


def list_hardest(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`hardest` of the whole batch (B)."""
    these, table = points(embeddings), positives(labels)
    parts = [
        hardest(squared_distances(these, rows)[0], table.of(rows))
        for rows in blocks(len(labels), embeddings)
    ]
    return torch.cat([p for p, _ in parts]), torch.cat([n for _, n in parts])


def list_semi_hard(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors, positives and negatives by `semi_hard_negatives` (T, int64 each), a row for each
    pair of an anchor that has a negative and a positive of it, in row-major order."""
    these, table = points(embeddings), positives(labels, static=False)
    found = []
    for rows in blocks(len(labels), embeddings):
        part = table.of(rows)
        negative_RK, _ = semi_hard_negatives(squared_distances(these, rows)[0], part)
        paired_RK = part.valid_RK & (part.sizes_R < len(labels))[:, None]
        row, k = torch.nonzero(paired_RK, as_tuple=True)
        found.append((rows.start + row, part.columns()[row, k], negative_RK[row, k]))
    return _concatenated(found)


def list_all_semi_hard(
    embeddings: Tensor, labels: Tensor, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """All triplets with d_ap < d_an < d_ap + margin in lexicographic order (T, int64 each)."""
    these, table = points(embeddings), positives(labels, static=False)
    found = []
    for rows in blocks(len(labels), embeddings):
        part = table.of(rows)
        d2_RB, _ = squared_distances(these, rows)
        # Padding is beyond every negative, and what is no negative is nearer than any positive.
        near_RK = torch.where(part.valid_RK, part.distances(d2_RB), torch.inf)
        far_RB = part.negatives(d2_RB, -1.0)
        step = max(_CUBE // max(near_RK.shape[1] * len(labels), 1), 1)
        for start in range(0, len(far_RB), step):
            near = near_RK[start : start + step, :, None]
            far = far_RB[start : start + step, None]
            row, k, negative = torch.nonzero((far > near) & (far < near + margin), as_tuple=True)
            row += start
            found.append((rows.start + row, part.columns()[row, k], negative))
    return _concatenated(found)


def _concatenated(
    found: list[tuple[Tensor, Tensor, Tensor]],
) -> tuple[Tensor, Tensor, Tensor]:
    anchors, positive, negative = (torch.cat(column) for column in zip(*found, strict=True))
    return anchors, positive, negative
