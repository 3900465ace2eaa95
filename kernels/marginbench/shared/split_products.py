"""Squared distances of float32 points by products in float64, as good as the differences.

What the Gram form loses is the low half of the products. So each number is cut in two, x = h + l,
where h has so few digits that every product of two h, and every sum of D of them, is exact in
float64, and l is what is left:

    ||x_i - x_j||^2 = ||h_i - h_j||^2 + (l_i - l_j) . (s_i - s_j), s = 2 h + l

The first is exact, and the second so small that its rounding is 2^-70 of the squared norms and
less. No pair has to be found or computed again, however many are close. Points nearer than some
2^-33 of their lengths count as one point; float32 points of ordinary size never are. Distances
that differ by less than 2^-45 of their size count as equal, but for those at either side of a
step; equal ones come out exactly equal, and do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Split:
    """B x D points in units of a power of two, cut in two. squares_B: ||h||^2; crossed_B: l . s;
    low_high_BD (B x 2D): l and s side by side, high_low_BD: s and l; lost_B: how far crossed
    products may be off; unit2: the square of the unit."""

    high_BD: Tensor
    squares_B: Tensor
    low_high_BD: Tensor
    high_low_BD: Tensor
    crossed_B: Tensor
    lost_B: Tensor
    unit2: Tensor

    def squared_distances(
        self, rows: slice, columns: slice, d2_RB: Tensor, spare_RB: Tensor
    ) -> Tensor:
        """||x_i - x_j||^2 of ``rows`` to ``columns``, in ``d2_RB``; overwrites ``spare_RB``."""
        high_BD, crossing_BD = self.high_BD[columns], self.high_low_BD[columns]
        torch.addmm(self.squares_B[columns], self.high_BD[rows], high_BD.T, alpha=-2, out=d2_RB)
        d2_RB.add_(self.squares_B[rows, None])
        torch.addmm(
            self.crossed_B[columns], self.low_high_BD[rows], crossing_BD.T, alpha=-1, out=spare_RB
        )
        d2_RB.add_(spare_RB.add_(self.crossed_B[rows, None]))
        torch.add(self.lost_B[rows, None], self.lost_B[columns], out=spare_RB)
        d2_RB.masked_fill_(d2_RB <= spare_RB, 0)
        # To 45 digits: the last of the 53 are rounding, and must not order equal distances.
        d2_RB.view(torch.int64).add_(128).bitwise_and_(-256)
        return d2_RB.mul_(self.unit2)


def split(x_BD: Tensor) -> Split:
    """Points (B x D, float64) that are float32 numbers, or such less a common centre."""
    dim = x_BD.shape[1]
    # Sums of D products of two differences of such numbers stay below 2^53.
    digits = (51 - math.ceil(math.log2(dim))) // 2
    exponent = digits - torch.frexp(x_BD.abs().amax()).exponent
    scaled_BD = x_BD * power_of_two(exponent)
    high_BD = scaled_BD.round()
    low_BD = scaled_BD - high_BD
    sum_BD = scaled_BD + high_BD
    lengths_B = torch.linalg.vector_norm(low_BD, dim=1) * torch.linalg.vector_norm(sum_BD, dim=1)
    return Split(
        high_BD,
        torch.linalg.vecdot(high_BD, high_BD),
        torch.cat((low_BD, sum_BD), dim=1),
        torch.cat((sum_BD, low_BD), dim=1),
        torch.linalg.vecdot(low_BD, sum_BD),
        dim * _EPS * lengths_B,
        power_of_two(-2 * exponent),
    )


def power_of_two(exponent: Tensor) -> Tensor:
    """2^exponent (int) in float64, exactly: `torch.ldexp` makes it in float32, whose range is
    smaller."""
    return ((exponent.long() + 1023) << 52).view(torch.float64)
