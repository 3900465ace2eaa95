"""Comparisons of distances too close for float32, decided in float64 as the references do.

Where two distances of a block differ by less than their rounding errors (`Points.rounding`), they
are recomputed in float64: equal ones are then equal, and ties go to the lowest index.
On ordinary data that is a comparison in a hundred, and differences are made for a few candidates.
Where many are alike (quantised codes, duplicates) a block's distances are all made at once, by
products (`split_products`).

Legend: R anchors of a block, C candidates, n rows in doubt, m nearest candidates, K pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .distances import Pairs, Points, between, centre, reference_distances
from .split_products import split

# Candidates of a row in doubt that are examined first.
FEW = 4
# Open entries an anchor from which on all distances of a block are made.
_MANY = 0.5
# Width up to which `topk` finds the lowest two sooner than passes (measured on an AVX-512 CPU).
_TOPK = 128


@dataclass(frozen=True)
class Exact:
    """The comparisons of one block of anchors."""

    these: Points
    rows: slice
    _made: list[Tensor] = field(default_factory=list)

    @property
    def tolerance(self) -> float:
        """Distances of one anchor that are farther apart than this are ordered correctly; 0 means
        all are. One distance is off by half of it at most."""
        return 4 * self.these.rounding * self.these.longest

    def distances(self, row: Tensor, column: Tensor) -> Tensor:
        """d2 (K, float64) of pairs of a row and a column of the block."""
        self._expect(len(row))
        if self._made:
            return self._made[0][row, column]
        return reference_distances(self.these, self.rows, Pairs(row, column))

    def to_points(self, row_n: Tensor, point_nm: Tensor | None = None) -> Tensor:
        """d2 (n x m, float64) of rows to points among the columns, or to all columns (n x B)."""
        if not self._made:
            return between(self.these, self.rows.start + row_n, point_nm)
        if point_nm is None:
            return self._made[0][row_n]
        return self._made[0][row_n[:, None], point_nm - self.these.columns.start]

    def _expect(self, count: int) -> None:
        """Makes all distances of the block where so many entries or pairs are open that theirs,
        one by one, would take longer."""
        if not self._made and count > _MANY * (self.rows.stop - self.rows.start):
            x_BD = self.these.x_BD.double()
            parts = split(x_BD - centre(x_BD))
            columns = self.these.columns
            d2_RB, spare_RB = x_BD.new_empty(
                2, self.rows.stop - self.rows.start, columns.stop - columns.start
            )
            self._made.append(parts.squared_distances(self.rows, columns, d2_RB, spare_RB))

    def entries(self, open_RC: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and columns where ``open_RC``, if any, so many at a time that ``width`` values of
        each are no more than a quarter of a block."""
        row, column = torch.nonzero(open_RC, as_tuple=True)
        if len(row) == 0:
            return iter(())
        self._expect(len(row))
        size = max(self.these.memory[0].numel() // (4 * max(width, 1)), 1)
        return zip(row.split(size), column.split(size), strict=True)

    def lowest(
        self,
        values_RC: Tensor,
        sign: int = 1,
        row_R: Tensor | None = None,
        column_RC: Tensor | None = None,
    ) -> Tensor:
        """Where in its row each smallest value stands (R), of equals the first.

        The values are d2 times ``sign``, inf where there is no candidate; of the rows ``row_R`` of
        the block and its columns ``column_RC`` (all, in order, if None). May overwrite the values.
        """
        if self.tolerance == 0.0 or values_RC.shape[1] < 2:
            return values_RC.min(dim=1).indices
        least_R, place_R, next_R = lowest_two(values_RC)
        # inf - inf is NaN: no doubt.
        open_R1 = (next_R - least_R <= self.tolerance)[:, None]
        for part, _ in self.entries(open_R1, values_RC.shape[1]):
            values_RC[part, place_R[part]] = least_R[part]
            row_n = part if row_R is None else row_R[part]
            column_nC = None if column_RC is None else column_RC[part]
            place_R[part] = self._lowest(values_RC[part], sign, row_n, column_nC)
        return place_R

    def _lowest(
        self, value_nC: Tensor, sign: int, row_n: Tensor, column_nC: Tensor | None
    ) -> Tensor:
        few = min(FEW, value_nC.shape[1])
        value_nm, place_nm = value_nC.topk(few, dim=1, largest=False)
        column_nm = place_nm if column_nC is None else column_nC.gather(1, place_nm)
        exact_nm = sign * self.to_points(row_n, column_nm + self.these.columns.start)
        exact_nm = torch.where(value_nm < torch.inf, exact_nm, torch.inf)
        best_n1, place_n1 = first_lowest(exact_nm, place_nm)
        if few < value_nC.shape[1]:
            at = self.unsure(value_nm[:, -1:], best_n1)
            if len(at):
                point_nC = None if column_nC is None else column_nC[at] + self.these.columns.start
                exact_nC = sign * self.to_points(row_n[at], point_nC)
                candidate_nC = value_nC[at] < torch.inf
                best_nC = torch.where(candidate_nC, exact_nC, torch.inf)
                place_n1[at, 0] = best_nC.min(dim=1).indices
        return place_n1[:, 0]

    def unsure(self, last_n1: Tensor, best_n1: Tensor) -> Tensor:
        """Entries whose candidates beyond the last that was examined may be as low as the best."""
        may_n1 = (last_n1 - self.tolerance <= best_n1) & (last_n1 < torch.inf)
        return torch.nonzero(may_n1)[:, 0]


def lowest_two(values_RC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The smallest value of each row, where it is, and the smallest of the others (R each). May
    overwrite that at the place with inf."""
    if values_RC.shape[1] <= _TOPK:
        (least_R, next_R), places_2R = (of.T for of in values_RC.topk(2, dim=1, largest=False))
        return least_R, places_2R[0], next_R
    least_R, place_R = values_RC.min(dim=1)
    return least_R, place_R, values_RC.scatter_(1, place_R[:, None], torch.inf).amin(dim=1)


def first_lowest(value_nm: Tensor, place_nm: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest value of each row, and the lowest place that has it (n x 1 each)."""
    best_n1 = value_nm.amin(dim=1, keepdim=True)
    none = torch.iinfo(torch.int64).max
    return best_n1, torch.where(value_nm == best_n1, place_nm, none).amin(dim=1, keepdim=True)


def windows(first_n: Tensor, end_n: Tensor) -> tuple[Tensor, Tensor]:
    """All places first .. end - 1 of each entry, with the entry's number (K each)."""
    count_n = end_n - first_n
    entry = torch.repeat_interleave(count_n)
    step = torch.arange(len(entry), device=entry.device) - (count_n.cumsum(0) - count_n)[entry]
    return entry, first_n[entry] + step
