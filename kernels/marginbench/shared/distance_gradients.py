"""The gradient of what uses squared distances, given their slopes block by block.

Legend: B batch, D dimension, R rows of a block against all B; slope_RB derivatives by d2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .distances import Pairs, Points, differences
from .positives import Positives


@dataclass(frozen=True)
class TripletGradient:
    """Adds up what triplets give to the gradient ``total_BD`` of the embeddings x_BD.

    Of a triplet the anchor gets 2 (x_n - x_p), which is small where positive and negative lie
    close together, far from the anchor; and so may be what others get in sum. Float32 would lose
    it: where different identities are close (`different_close`), ``fine``, all is in float64.
    """

    x_BD: Tensor
    centred_BD: Tensor
    total_BD: Tensor

    @staticmethod
    def of(these: Points, fine: bool) -> TripletGradient:
        x_BD, centred_BD = these.x_BD, these.centred_BD
        if fine:
            x_BD, centred_BD = x_BD.double(), centred_BD.double()
        return TripletGradient(x_BD, centred_BD, torch.zeros_like(x_BD))

    def add_slopes(self, slope_RB: Tensor, rows: slice, spare_RB: Tensor) -> None:
        """Slopes of a block's triplets, dL/d(d2).

        Each triplet adds as much to one entry of a row as it takes from another: rows sum to zero,
        so that in d(d2_ij)/dx_i = 2 (x_i - x_j) = -d(d2_ij)/dx_j the anchor's x_i drops out.
        ``spare_RB`` is overwritten.
        """
        x_BD = self.centred_BD
        slope_RB = slope_RB.to(x_BD.dtype)
        self.total_BD.addcmul_(slope_RB.sum(dim=0)[:, None], x_BD, value=2)
        if len(slope_RB) == len(x_BD):
            # The whole batch: (slope + slope^T) x is one product, and a transposed copy is cheap.
            spare_RB = spare_RB if spare_RB.dtype == x_BD.dtype else torch.empty_like(slope_RB)
            both_BB = spare_RB.copy_(slope_RB.T).add_(slope_RB)
            self.total_BD.addmm_(both_BB, x_BD, alpha=-2)
            return
        self.total_BD[rows].addmm_(slope_RB, x_BD, alpha=-2)
        self.total_BD.addmm_(slope_RB.T, x_BD[rows], alpha=-2)


def different_close(close: Pairs | None, part: Positives) -> bool:
    """Whether two samples of different identities lie close together, on a CPU."""
    if close is None:
        return False
    return bool((part.labels_R[close.row] != part.labels_B[close.column]).any())


def symmetric_gradient(slope_RB: Tensor, these: Points, rows: slice, close: Pairs | None) -> Tensor:
    """sum_j slope_ij (x_i - x_j) for the rows i of a block (R x D).

    That is half the gradient of a function of d2 whose slopes are the same for (i, j) and (j, i).
    Slopes may grow like one over the distance: where it is small, a product of slopes with
    embeddings would lose the difference, so close pairs are added one by one. ``slope_RB`` is
    overwritten.
    """
    if close is not None:
        slope_K = slope_RB[close.row, close.column]
        slope_RB[close.row, close.column] = 0.0
    total_R1 = slope_RB.sum(dim=1, keepdim=True)
    x_BD, x_RD = these.centred_BD, these.centred_BD[rows]
    gradient_RD = torch.addmm(total_R1 * x_RD, slope_RB, x_BD, alpha=-1)
    if close is not None:
        for part, difference_KD in differences(these, rows, close):
            difference_KD *= slope_K[part, None]
            gradient_RD.index_add_(0, close.row[part], difference_KD)
    return gradient_RD
