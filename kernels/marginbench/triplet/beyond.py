"""Semi-hard mining: for each anchor and positive, the nearest negative beyond the positive.

Two ways, the same selection: a pass over the negatives for each of a few positives, or one sort of
them for many. Where float32 leaves open which negatives lie beyond the positive, or which of these
is the nearest, exact distances of the lowest candidates decide.

Legend: R anchors of a block, K positives of an anchor, B columns, n entries in doubt, m candidates;
d_ap (R x K) and d_an (R x B) squared distances, the latter inf where a column is no negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..shared.exact import FEW, Exact, first_lowest, lowest_two

# Positives per anchor up to which a search over the negatives for each beats sorting the negatives
# once (measured on an AVX-512 CPU at B = 512 to 2048: equal at about 20).
_FEW = 20


def nearest_beyond(
    d_ap: Tensor,
    d_an: Tensor,
    wanted_RK: Tensor,
    positive_RK: Tensor,
    exact: Exact,
    search: bool = False,
) -> Tensor:
    """The column (R x K) of the nearest negative with d_an > d_ap, or of the farthest negative
    where none is; ties go to the lowest index. Anything where it is not ``wanted_RK`` or the anchor
    has no negative. ``positive_RK``: which points the positives are. With ``search`` no shape
    depends on data, if no comparison can be open."""
    if search or d_ap.shape[1] > _FEW:
        column_RK, missing_RK = _by_sorting(d_ap, d_an, wanted_RK, positive_RK, exact)
        return torch.where(missing_RK, _farthest(d_an, exact)[:, None], column_RK)
    column_RK, missing_RK = _by_passes(d_ap, d_an, wanted_RK, positive_RK, exact)
    rows = torch.nonzero(missing_RK.any(dim=1))[:, 0]
    if len(rows):
        farthest_n1 = _farthest(d_an[rows], exact, rows)[:, None]
        column_RK[rows] = torch.where(missing_RK[rows], farthest_n1, column_RK[rows])
    return column_RK


def _farthest(d_an: Tensor, exact: Exact, rows: Tensor | None = None) -> Tensor:
    nearness = torch.where(d_an < torch.inf, -d_an, torch.inf)
    return exact.lowest(nearness, sign=-1, row_R=rows)


def _by_passes(
    d_ap: Tensor, d_an: Tensor, wanted_RK: Tensor, positive_RK: Tensor, exact: Exact
) -> tuple[Tensor, Tensor]:
    """The columns, and which entries have none (R x K each)."""
    tolerance = exact.tolerance
    further_KR, next_KR = d_ap.new_empty(2, *reversed(d_ap.shape))
    column_KR = torch.empty_like(further_KR, dtype=torch.int64)
    beyond_RB = torch.empty_like(d_an)
    for place in range(len(column_KR)):
        torch.sub(d_an, d_ap[:, place, None], out=beyond_RB)
        # All that may lie beyond; without booleans, whose passes cost several of floats.
        torch.threshold_(beyond_RB, -tolerance, torch.inf)
        if tolerance:
            further_KR[place], column_KR[place], next_KR[place] = lowest_two(beyond_RB)
        else:
            torch.min(beyond_RB, dim=1, out=(further_KR[place], column_KR[place]))
    column_RK = column_KR.T.contiguous()
    missing_RK = (further_KR == torch.inf).T.logical_and(wanted_RK)
    if tolerance:
        # inf - inf is NaN: no doubt.
        open_KR = (further_KR <= tolerance) | (next_KR - further_KR <= tolerance)
        for row, k in exact.entries(open_KR.T.logical_and(wanted_RK), d_an.shape[1]):
            further_nB = d_an[row].sub_(d_ap[row, k, None])
            torch.threshold_(further_nB, -tolerance, torch.inf)
            lowest = further_nB.topk(min(FEW, d_an.shape[1]), dim=1, largest=False)
            chosen_n = _decide(row, positive_RK[row, k], *lowest, d_an, exact)
            column_RK[row, k], missing_RK[row, k] = chosen_n, chosen_n < 0
    return column_RK, missing_RK


def _by_sorting(
    d_ap: Tensor, d_an: Tensor, wanted_RK: Tensor, positive_RK: Tensor, exact: Exact
) -> tuple[Tensor, Tensor]:
    """As `_by_passes`."""
    # Stable: among equal distances the columns keep their order.
    sorted_RB, order_RB = d_an.sort(dim=1, stable=True)
    number_R1 = (d_an < torch.inf).sum(dim=1, keepdim=True)
    place_RK = torch.searchsorted(sorted_RB, d_ap - exact.tolerance, right=True)
    missing_RK = place_RK >= number_R1
    # Only a NaN or an entry without negatives could go beyond the row.
    last = d_an.shape[1] - 1
    place_RK.clamp_(max=last)
    column_RK = order_RB.gather(1, place_RK)
    if exact.tolerance:
        nearest_RK = sorted_RB.gather(1, place_RK)
        next_RK = sorted_RB.gather(1, (place_RK + 1).clamp_(max=last))
        open_RK = nearest_RK - d_ap <= exact.tolerance
        open_RK |= next_RK - nearest_RK <= exact.tolerance
        width = max(FEW * exact.these.dim, d_an.shape[1])
        for row, k in exact.entries(open_RK.logical_and_(wanted_RK), width):
            place_nm = place_RK[row, k, None] + torch.arange(FEW)
            # What is past the end is no candidate; the last one may come twice.
            at = (row[:, None], place_nm.clamp_(max=last))
            value_nm = sorted_RB[at] - d_ap[row, k, None]
            chosen_n = _decide(row, positive_RK[row, k], value_nm, order_RB[at], d_an, exact)
            column_RK[row, k], missing_RK[row, k] = chosen_n, chosen_n < 0
    return column_RK, missing_RK


def _decide(
    row_n: Tensor,
    positive_n: Tensor,
    value_nm: Tensor,
    column_nm: Tensor,
    d_an: Tensor,
    exact: Exact,
) -> Tensor:
    """The column of the nearest beyond the positive (n), -1 where none is. ``value_nm``: the
    lowest d_an - d_ap that may be above 0, rising, in float32; ``column_nm`` their columns."""
    first = exact.these.columns.start
    point_nm = torch.cat((positive_n[:, None], column_nm + first), dim=1)
    exact_nm = exact.to_points(row_n, point_nm)
    limit_n1, exact_nm = exact_nm[:, :1], exact_nm[:, 1:]
    beyond_nm = (exact_nm > limit_n1) & (value_nm < torch.inf)
    best_n1, chosen_n1 = first_lowest(torch.where(beyond_nm, exact_nm, torch.inf), column_nm)
    chosen_n = torch.where(best_n1 < torch.inf, chosen_n1, -1)[:, 0]
    if value_nm.shape[1] < d_an.shape[1]:
        at = exact.unsure(value_nm[:, -1:], best_n1 - limit_n1)
        if len(at):
            exact_nB = exact.to_points(row_n[at])
            beyond_nB = (exact_nB > limit_n1[at]) & (d_an[row_n[at]] < torch.inf)
            best_n, column_n = torch.where(beyond_nB, exact_nB, torch.inf).min(dim=1)
            chosen_n[at] = torch.where(best_n < torch.inf, column_n, -1)
    return chosen_n
