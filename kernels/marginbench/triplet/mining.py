"""Which positives and negatives a rule takes, for a block of anchors at a time.

Ties go to the candidate with the lowest index; whether two distances are equal is decided as the
reference does (`shared.exact`). Legend: R anchors of a block, K positives of an
anchor, B batch, T triplets, n entries in doubt; d2 squared distances.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..shared.distances import blocks, points, squared_distances
from ..shared.exact import Exact
from ..shared.positives import Positives, positives
from .beyond import nearest_beyond
from .hinges import may_meet

# Elements of a block of triplets (R x K x B).
_CUBE = 2**22


def hardest(d2_RB: Tensor, part: Positives, exact: Exact) -> tuple[Tensor, Tensor]:
    """Farthest positive and nearest negative of each anchor (R, int64), -1 where none. May
    overwrite ``d2_RB``."""
    positive_R = _farthest_positive(d2_RB, part, exact)
    negative_R = exact.lowest(part.negatives(d2_RB, torch.inf))
    return positive_R, torch.where(part.sizes_R < len(part.labels_B), negative_R, -1)


def _farthest_positive(d2_RB: Tensor, part: Positives, exact: Exact) -> Tensor:
    if part.valid_RK.shape[1] == 0:
        return torch.full((len(d2_RB),), -1, dtype=torch.int64, device=d2_RB.device)
    nearness_RK = torch.where(part.valid_RK, -part.distances(d2_RB), torch.inf)
    k_R = exact.lowest(nearness_RK, sign=-1, column_RC=part.column_RK)
    if part.column_RK is None:
        return torch.where(part.sizes_R > 1, k_R, -1)
    return torch.where(part.sizes_R > 1, part.column_RK.gather(1, k_R[:, None])[:, 0], -1)


def semi_hard_negatives(
    d2_RB: Tensor, part: Positives, wanted_RK: Tensor, exact: Exact
) -> tuple[Tensor, Tensor]:
    """For each ``wanted_RK`` entry of the table the nearest negative with d_an > d_ap, or the
    farthest negative where none is; and its d_an. Anything elsewhere. May overwrite ``d2_RB``."""
    d_ap = part.distances(d2_RB)
    d_an = part.negatives(d2_RB, torch.inf)
    search = part.column_RK is None
    negative_RK = nearest_beyond(d_ap, d_an, wanted_RK, part.columns(), exact, search)
    return negative_RK, d_an.gather(1, negative_RK)


def list_hardest(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`hardest` of the whole batch (B)."""
    these, table = points(embeddings), positives(labels)
    parts = [
        hardest(squared_distances(these, rows)[0], table.of(rows), Exact(these, rows))
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
        d2_RB, _ = squared_distances(these, rows)
        paired_RK = part.valid_RK & (part.sizes_R < len(labels))[:, None]
        negative_RK, _ = semi_hard_negatives(d2_RB, part, paired_RK, Exact(these, rows))
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
        part, exact = table.of(rows), Exact(these, rows)
        d2_RB, _ = squared_distances(these, rows)
        # Padding is beyond every negative, and what is no negative is nearer than any positive.
        near_RK = torch.where(part.valid_RK, part.distances(d2_RB), torch.inf)
        far_RB = part.negatives(d2_RB, -torch.inf)
        step = max(_CUBE // max(near_RK.shape[1] * len(labels), 1), 1)
        for start in range(0, len(far_RB), step):
            near = near_RK[start : start + step, :, None]
            far = far_RB[start : start + step, None]
            chosen = (far > near) & (far < near + margin)
            if exact.tolerance:
                _settle(chosen, far - near, start, part, margin, exact)
            row, k, negative = torch.nonzero(chosen, as_tuple=True)
            row += start
            found.append((rows.start + row, part.columns()[row, k], negative))
    return _concatenated(found)


def _settle(
    chosen: Tensor, further: Tensor, start: int, part: Positives, margin: float, exact: Exact
) -> None:
    """Whether open triplets are chosen; both are cubes of anchors from the block's
    row ``start`` on, positives and columns, ``further`` d_an - d_ap. Overwrites it."""
    edges = (0.0, margin) if may_meet(margin) else (0.0,)
    spare = torch.empty_like(further)
    for edge in edges:
        # -inf - inf is NaN, and what is not past the edge inf: neither is open.
        torch.threshold(torch.sub(further, edge, out=spare), -exact.tolerance, torch.inf, out=spare)
        at = torch.nonzero(spare.amin(dim=2) <= exact.tolerance, as_tuple=True)
        entry, negative = torch.nonzero(spare[at] <= exact.tolerance, as_tuple=True)
        row, k = (of[entry] for of in at)
        positive = part.columns()[start + row, k]
        d_ap, d_an = exact.distances(
            (start + row).repeat(2), torch.cat((positive, negative))
        ).chunk(2)
        chosen[row, k, negative] = (d_ap < d_an) & (d_an < d_ap + margin)


def _concatenated(
    found: list[tuple[Tensor, Tensor, Tensor]],
) -> tuple[Tensor, Tensor, Tensor]:
    anchors, positive, negative = (torch.cat(column) for column in zip(*found, strict=True))
    return anchors, positive, negative
