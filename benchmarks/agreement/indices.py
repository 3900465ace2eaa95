"""Compares what a mining rule selected with what the reference selected, on float64 distances.

Two indices (positive, negative) have a row for each anchor; three (anchors, positives, negatives)
a row for each triplet. -1 stands for none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Selection = tuple[Tensor, ...]


@dataclass(frozen=True)
class IndexErrors:
    """``mismatches``: indices that differ, or rows that only one of the two selected where these
    are different sets of rows. ``regret``: the largest difference in squared distance to the
    anchor between an index and the reference's, over the sum of the two squared norms that the
    distance is made of; None where rows have no counterpart. ``problem``: what rounding
    can't explain.
    """

    mismatches: int
    regret: float | None
    problem: str = ""


def compare(got: Selection, want: Selection, embeddings: Tensor) -> IndexErrors:
    """``embeddings`` (B x D, float64) are what both selected from."""
    if len(got) != len(want) or any(g.dtype != torch.int64 for g in got):
        kinds = ", ".join(f"{tuple(g.shape)} {g.dtype}" for g in got)
        return IndexErrors(0, None, f"expected {len(want)} int64 tensors; got {kinds}")
    count = len(embeddings)
    if any(g.numel() and (int(g.min()) < -1 or int(g.max()) >= count) for g in got):
        return IndexErrors(0, None, f"an index outside [-1, {count})")
    if len({len(g) for g in got}) > 1:
        return IndexErrors(0, None, f"lengths differ: {[len(g) for g in got]}")
    same_shape = got[0].shape == want[0].shape
    if len(want) == 3:
        aligned = same_shape and all(torch.equal(got[i], want[i]) for i in (0, 1))
        if not aligned:
            return _of_sets(got, want, count)
        return _of_rows(got[2:], want[2:], want[0], embeddings)
    if not same_shape:
        expected, came = tuple(want[0].shape), tuple(got[0].shape)
        return IndexErrors(0, None, f"expected shape {expected}; got {came}")
    anchors = torch.arange(count, device=embeddings.device)
    return _of_rows(got, want, anchors, embeddings)


def _of_rows(got: Selection, want: Selection, anchors: Tensor, x_BD: Tensor) -> IndexErrors:
    """Row by row: the same anchor in both."""
    mismatches, regret = 0, 0.0
    for ours, theirs in zip(got, want, strict=True):
        differs = ours != theirs
        found = int(differs.sum())
        if not found:
            continue
        mismatches += found
        rows, j, k = anchors[differs], ours[differs], theirs[differs]
        if bool(((j < 0) | (k < 0)).any()):
            return IndexErrors(mismatches, None, "an index where there is none, or none for one")
        lost = (_squared(x_BD, rows, j) - _squared(x_BD, rows, k)).abs()
        norms = x_BD.square().sum(dim=1)
        scale = norms[rows] + torch.maximum(norms[j], norms[k])
        regret = max(regret, float((lost / scale.clamp(min=1e-300)).max()))
    return IndexErrors(mismatches, regret)


def _squared(x_BD: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return (x_BD[i] - x_BD[j]).square().sum(dim=1)


def _of_sets(got: Selection, want: Selection, count: int) -> IndexErrors:
    """Rows that only one of the two has; a row that comes twice is no selection."""
    ours, theirs = (_keys(rows, count) for rows in (got, want))
    if len(ours) > 1 and not bool((ours.diff() > 0).all()):
        return IndexErrors(0, None, "rows are not in lexicographic order, or come twice")
    common = 0
    if len(ours) and len(theirs):
        place = torch.searchsorted(theirs, ours).clamp(max=len(theirs) - 1)
        common = int((theirs[place] == ours).sum())
    return IndexErrors(len(ours) + len(theirs) - 2 * common, None)


def _keys(rows: Selection, count: int) -> Tensor:
    anchors, positives, negatives = rows
    return (anchors * count + positives) * count + negatives
