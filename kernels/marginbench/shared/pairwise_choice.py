"""Picks an anchor's nearest or farthest candidate exactly as the definition does, ties included.

Distances by the Gram form are off by a few units in the last place of the squared norms. Where two
candidates are equally far (quantised codes, duplicates), or a negative as far as the positive that
must be nearer, their rounding would decide. So they decide only where distances differ by more
than the rounding can amount to (`rounding`). What is left in doubt is settled by the original
embeddings, in float64 (`exact_gaps`): 0 for duplicates whatever their entries, and without any
rounding for codes of up to 20 bits at D = 512. Ties go to the lowest index.

A batch has few such pairs, so that a tile of distances first goes through `take_least`, which
takes what is beyond doubt and says in which rows something is not; only where it says so does
`settle` look at the tile again, a candidate of each row at a time.

Keys are distances, or minus them for the farthest: the least is looked for. Infinity is none.

Legend: M rows and N columns of a tile; R rows compared at a time, X a chunk of D.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .pairwise import CLOSE, chunk_of, row_pointers

# Greater than any index: none.
NONE = tl.constexpr(2**31 - 1)
# Pairs that are compared in float64 at a time, and columns of D: more would need more registers
# than the tiles of distances leave.
_ROWS, _COLUMNS = tl.constexpr(2), tl.constexpr(128)


@triton.jit
def rounding(squared, norm, lowest, highest, D):
    """By how much two squared distances near ``squared``, of one row, may seem apart that are not;
    ``norm`` is the row's squared norm, that of its partners lies from ``lowest`` to ``highest``.

    Of a distance a + b - 2p, with u = 2^-24, the norms a and b are each rounded some log2(D) / 2
    times as they are added up, the embeddings twice as they are moved (by u of themselves), a + b
    and the difference once: by chance some 6 u (a + b), of two distances 16 u (a + b) at most. The
    product p is a sum of D terms, each step of which is rounded by u of what was added up so far.
    That is p at most where it grows evenly: D such steps, of either sign, amount to u p sqrt(D / 3)
    by chance, 2p of two distances to four times that in 2 u |2p| sqrt(D). Where it does not, the
    terms that cancel are no more than (a + b) / 2 together: u (a + b) sqrt(D) / 2 more.

    A distance that was made from the difference, as those below CLOSE (a + b) are, is rounded by
    far less; so a + b needs never be taken for more than squared / CLOSE.
    """
    root = tl.sqrt(tl.zeros_like(squared) + D)
    norms = norm + highest
    products = tl.maximum(tl.abs(norms - squared), tl.abs(norm + lowest - squared))
    apart = (8.0 + 0.5 * root) * norms + 2.0 * root * products
    closer = (8.0 + 2.5 * root) * (squared / CLOSE)
    return 2.0**-24 * tl.minimum(apart, closer)


@triton.jit
def exact_gaps(x_ptr, x_stride, row_M, first_M, second_M, mask_M, D):
    """||x_row - x_second||^2 - ||x_row - x_first||^2 (M, float64), from the embeddings as they
    came; 0 where masked. A few rows at a time, so that the fewer there are the less it costs."""
    rank_M = tl.cumsum(mask_M.to(tl.int32), axis=0) - 1
    number = tl.sum(mask_M.to(tl.int32), axis=0)
    gap_M = tl.zeros_like(row_M).to(tl.float64)
    for start in range(0, number, _ROWS):
        place_R = start + tl.arange(0, _ROWS)
        taken_RM = mask_M[None, :] & (rank_M[None, :] == place_R[:, None])
        mask_R = place_R < number
        row_R = row_pointers(x_ptr, tl.sum(tl.where(taken_RM, row_M, 0), axis=1), x_stride)
        first_R = row_pointers(x_ptr, tl.sum(tl.where(taken_RM, first_M, 0), axis=1), x_stride)
        second_R = row_pointers(x_ptr, tl.sum(tl.where(taken_RM, second_M, 0), axis=1), x_stride)
        gap_R = tl.zeros((_ROWS,), tl.float64)
        for begin in range(0, D, _COLUMNS):
            column_X = begin + tl.arange(0, _COLUMNS)
            own_RX = chunk_of(row_R, mask_R, column_X, D).to(tl.float32).to(tl.float64)
            first_RX = chunk_of(first_R, mask_R, column_X, D).to(tl.float32).to(tl.float64)
            second_RX = chunk_of(second_R, mask_R, column_X, D).to(tl.float32).to(tl.float64)
            # The difference of the squares as a product, which is 0 where first is second.
            both_RX = (own_RX - first_RX) + (own_RX - second_RX)
            gap_R += tl.sum((first_RX - second_RX) * both_RX, axis=1)
        gap_M += tl.sum(tl.where(taken_RM, gap_R[:, None], 0.0), axis=0)
    return gap_M


@triton.jit
def exact_distance(x_ptr, x_stride, row, other, scale, D):
    """The squared distance of two embeddings from their difference, in Ready's units: added up in
    float64 and rounded to float32 once."""
    squared_X = tl.zeros((_COLUMNS,), tl.float64)
    for begin in range(0, D, _COLUMNS):
        column_X = begin + tl.arange(0, _COLUMNS)
        inside_X = column_X < D
        own_X = tl.load(row_pointers(x_ptr, row, x_stride) + column_X, mask=inside_X, other=0.0)
        other_X = tl.load(row_pointers(x_ptr, other, x_stride) + column_X, mask=inside_X, other=0.0)
        own_X, other_X = own_X.to(tl.float32), other_X.to(tl.float32)
        difference_X = (own_X.to(tl.float64) - other_X.to(tl.float64)) * scale
        squared_X += difference_X * difference_X
    return tl.sum(squared_X, axis=0).to(tl.float32)


@triton.jit
def _limit(least_M, norm_M, lowest, highest, D):
    """Up to which key a candidate may still be the least; -inf where there is none."""
    limit_M = least_M + rounding(tl.abs(least_M), norm_M, lowest, highest, D)
    return tl.where(least_M < float("inf"), limit_M, -float("inf"))


@triton.jit
def take_least(least_M, index_M, key_MN, index_N, bar_M, norm_M, lowest, highest, D):
    """The least key so far and its index, after those of a tile (inf where no candidate), and in
    which rows the tile leaves it in doubt: there it stays as it was. So it is with a candidate
    whose key is at most ``bar_M``, too."""
    best_M = tl.min(key_MN, axis=1)
    limit_M = _limit(tl.minimum(best_M, least_M), norm_M, lowest, highest, D)
    may_be_MN = key_MN <= limit_M[:, None]
    number_M = tl.sum(may_be_MN.to(tl.int32), axis=1)
    sure_M = (number_M == 1) & (least_M > limit_M) & (best_M > bar_M)
    place_M = tl.min(tl.where(may_be_MN, index_N[None, :], NONE), axis=1)
    least_M = tl.where(sure_M, best_M, least_M)
    return least_M, tl.where(sure_M, place_M, index_M), (number_M > 0) & (sure_M == 0)


@triton.jit
def is_less(
    key_M, index_M, rival_key_M, rival_M, mask_M, sign,
    x_ptr, x_stride, row_M, norm_M, lowest, highest, D,
):  # fmt: skip
    """Whether rivals have the lesser key, or an equal one and the lower index; in rows of the mask,
    where they have one. ``sign`` is -1 where keys are minus the distances."""
    limit_M = _limit(tl.minimum(key_M, rival_key_M), norm_M, lowest, highest, D)
    doubt_M = mask_M & (tl.maximum(key_M, rival_key_M) <= limit_M)
    gap_M = sign * exact_gaps(x_ptr, x_stride, row_M, index_M, rival_M, doubt_M, D)
    settled_M = (gap_M < 0.0) | ((gap_M == 0.0) & (rival_M < index_M))
    return mask_M & tl.where(doubt_M, settled_M, rival_key_M < key_M)


@triton.jit
def settle(
    least_M, index_M, value_MN, flip, low_M, high, index_N, sign, bar_M, barred_M,
    x_ptr, x_stride, row_M, norm_M, lowest, highest, D, N: tl.constexpr,
):  # fmt: skip
    """The least key and its index after a tile, as `take_least`, without doubt.

    Keys are ``flip`` (1 or -1) times the values from ``low_M`` to ``high``. A candidate whose key
    is at most ``bar_M`` counts only where its distance exceeds that to the embedding ``barred_M``.
    Holds no second tile beside the values: registers are short here.
    """
    position_N = tl.arange(0, N)
    sure_MN = (value_MN >= low_M[:, None]) & (value_MN <= high)
    sure_MN = sure_MN & (flip * value_MN > bar_M[:, None])
    sure_M = tl.min(tl.where(sure_MN, flip * value_MN, float("inf")), axis=1)
    next_M = tl.zeros_like(index_M)
    going = 1
    while going > 0:
        limit_M = _limit(tl.minimum(sure_M, least_M), norm_M, lowest, highest, D)
        limit_M = tl.maximum(limit_M, bar_M)
        may_be_MN = (value_MN >= low_M[:, None]) & (value_MN <= high)
        may_be_MN = may_be_MN & (flip * value_MN <= limit_M[:, None])
        may_be_MN = may_be_MN & (position_N[None, :] >= next_M[:, None])
        place_M = tl.min(tl.where(may_be_MN, position_N[None, :], N), axis=1)
        here_MN = position_N[None, :] == place_M[:, None]
        rival_M = tl.sum(tl.where(here_MN, index_N[None, :], 0), axis=1)
        key_M = tl.sum(tl.where(here_MN, flip * value_MN, 0.0), axis=1)
        open_M = place_M < N
        next_M = place_M + 1
        doubt_M = open_M & (key_M <= bar_M)
        beyond_M = exact_gaps(x_ptr, x_stride, row_M, barred_M, rival_M, doubt_M, D) > 0.0
        less_M = is_less(
            least_M, index_M, key_M, rival_M, open_M & (beyond_M | (doubt_M == 0)), sign,
            x_ptr, x_stride, row_M, norm_M, lowest, highest, D,
        )  # fmt: skip
        least_M = tl.where(less_M, key_M, least_M)
        index_M = tl.where(less_M, rival_M, index_M)
        going = tl.max(open_M.to(tl.int32), axis=0)
    return least_M, index_M
