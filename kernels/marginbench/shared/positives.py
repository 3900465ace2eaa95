"""The positives of each anchor of a labelled batch, as a table of columns of the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .distances import static_shapes


@dataclass(frozen=True)
class Positives:
    """Those of the anchors of one block (R of the batch's B, ``rows``).

    column_RK: int64 indices, rising along a row, padded with the anchor's own; or None for every
    column of the batch in order (K = B). valid_RK: which entries are positives. sizes_R:
    samples of the anchor's identity, itself included. labels_R and labels_B: of the anchors and
    of all.
    """

    column_RK: Tensor | None
    valid_RK: Tensor
    sizes_R: Tensor
    labels_R: Tensor
    labels_B: Tensor
    rows: slice

    def columns(self) -> Tensor:
        """column_RK, spelt out where it is None."""
        if self.column_RK is not None:
            return self.column_RK
        count = len(self.labels_B)
        return torch.arange(count, device=self.labels_B.device).expand(len(self.labels_R), count)

    def distances(self, d2_RB: Tensor) -> Tensor:
        """d_ap (R x K), with anything where not valid. May be ``d2_RB`` itself."""
        return d2_RB if self.column_RK is None else d2_RB.gather(1, self.column_RK)

    def negatives(self, d2_RB: Tensor, fill: float) -> Tensor:
        """d2 with ``fill`` in place of the anchor and its positives; may overwrite ``d2_RB``."""
        if self.column_RK is None:
            return d2_RB.masked_fill(self.labels_R[:, None] == self.labels_B, fill)
        d2_RB[:, self.rows].diagonal().fill_(fill)
        return d2_RB.scatter_(1, self.column_RK, fill)


@dataclass(frozen=True)
class Table:
    """Those of every anchor: as `Positives`, but column_BK and valid_BK None for static shapes."""

    labels_B: Tensor
    sizes_B: Tensor
    column_BK: Tensor | None = None
    valid_BK: Tensor | None = None

    def of(self, rows: slice) -> Positives:
        labels_R, sizes_R = self.labels_B[rows], self.sizes_B[rows]
        if self.column_BK is not None and self.valid_BK is not None:
            column_RK, valid_RK = self.column_BK[rows], self.valid_BK[rows]
            return Positives(column_RK, valid_RK, sizes_R, labels_R, self.labels_B, rows)
        same_RB = labels_R[:, None] == self.labels_B
        same_RB[:, rows].diagonal().fill_(False)
        return Positives(None, same_RB, sizes_R, labels_R, self.labels_B, rows)


def positives(labels: Tensor, static: bool | None = None) -> Table:
    """The table for labels (B, int64). Its width K is that of the anchor with the most positives,
    or B where shapes must not depend on data (``static``; None: as the device wants it)."""
    if static_shapes(labels) if static is None else static:
        return Table(labels, _starts_and_sizes(labels.sort().values, labels)[1])
    ordered_B, order_B = labels.sort(stable=True)
    start_B, sizes_B = _starts_and_sizes(ordered_B, labels)
    everyone = torch.arange(len(labels), device=labels.device)
    place_B = torch.empty_like(order_B).scatter_(0, order_B, everyone)
    k = everyone[: int(sizes_B.max()) - 1]
    # The k-th of the identity without the anchor: those from the anchor's place on move up by one.
    slot_BK = start_B[:, None] + k
    slot_BK += slot_BK >= place_B[:, None]
    valid_BK = k < sizes_B[:, None] - 1
    column_BK = order_B[torch.where(valid_BK, slot_BK, place_B[:, None])]
    return Table(labels, sizes_B, column_BK, valid_BK)


def _starts_and_sizes(ordered_B: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Where the identity of each sample starts among the sorted labels, and how many it has."""
    start_B = torch.searchsorted(ordered_B, labels)
    return start_B, torch.searchsorted(ordered_B, labels, right=True) - start_B
