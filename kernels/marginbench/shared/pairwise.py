"""Device functions of the pairwise kernels: tiles of squared distances, reduced as they are made.

A tile is M rows against N columns of the embeddings x (B x D). Its squared distances come from the
Gram form, ||x_i||^2 + ||x_j||^2 - 2 x_i . x_j, whose products run on the tensor cores. What a loss
reduces them to (sums, hardest samples, coefficients of the gradient) is its own kernel's business;
B x B is not stored here.

The Gram form is off by a few eps (||x_i||^2 + ||x_j||^2): nothing for distant pairs, everything
for near ones. Two remedies, the same as in eager PyTorch (`distances`). The embeddings are moved to
their common centre where that is affordable, and scaled by a power of two where their squares would
leave the range of float32 (`pairwise_launch.ready`): distances are in those units. And pairs nearer
than `CLOSE` times the sum of their squared norms are recomputed from the difference of the original
embeddings, so that equal rows are at distance 0 exactly. That takes a column of the tile at a time;
a tile without close pairs pays one comparison per element for it.

Products of 16-bit operands accumulate in float32; those of float32 operands are IEEE products
unless tf32 is asked for. Nothing here uses atomics: the same input gives the same bits.

Legend: M rows and N columns of a tile, K a chunk of D.
"""

from __future__ import annotations

import triton
import triton.language as tl

from . import distances

CLOSE = tl.constexpr(distances.CLOSE)


@triton.jit
def row_pointers(x_ptr, index_M, x_stride):
    """Where the rows ``index_M`` of x begin; 64-bit, for B x D can pass 2^31."""
    return x_ptr + index_M.to(tl.int64) * x_stride


@triton.jit
def scales(units_ptr):
    """What embeddings are multiplied by before they are squared, and one over it."""
    if units_ptr is not None:
        return tl.load(units_ptr + 1), tl.load(units_ptr + 2)
    return 1.0, 1.0


@triton.jit
def chunk_of(row_ptr_M, mask_M, column_K, D):
    """The columns ``column_K`` of the rows that begin at ``row_ptr_M``; 0 where masked."""
    mask_MK = mask_M[:, None] & (column_K < D)[None, :]
    return tl.load(row_ptr_M[:, None] + column_K[None, :], mask=mask_MK, other=0.0)


@triton.jit
def _products(
    moved_ptr, rest_ptr, moved_stride, row_M, mask_M, column_N, mask_N, D,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The inner products of embeddings row_M and column_N (M x N, float32).

    With a rest, of the sums moved + rest; the product of two rests, at most 2^-22 of the whole,
    is left out.
    """
    left_M = row_pointers(moved_ptr, row_M, moved_stride)
    right_N = row_pointers(moved_ptr, column_N, moved_stride)
    products_MN = tl.zeros((M, N), tl.float32)
    for start in range(0, D, K):
        column_K = start + tl.arange(0, K)
        left_MK = chunk_of(left_M, mask_M, column_K, D)
        right_KN = tl.trans(chunk_of(right_N, mask_N, column_K, D))
        if rest_ptr is not None:
            left_rest_M = row_pointers(rest_ptr, row_M, moved_stride)
            right_rest_N = row_pointers(rest_ptr, column_N, moved_stride)
            left_rest_MK = chunk_of(left_rest_M, mask_M, column_K, D)
            right_rest_KN = tl.trans(chunk_of(right_rest_N, mask_N, column_K, D))
            products_MN = tl.dot(left_MK, right_rest_KN, products_MN)
            products_MN = tl.dot(left_rest_MK, right_KN, products_MN)
        products_MN = tl.dot(left_MK, right_KN, products_MN, input_precision=PRECISION)
    return products_MN


@triton.jit
def distances_of_pairs(left_M, right_M, mask_M, scale, D, M: tl.constexpr, K: tl.constexpr):
    """Squared distances of the rows that begin at ``left_M`` to those at ``right_M``, one by one,
    from their differences times ``scale``; 0 where masked."""
    squared_M = tl.zeros((M,), tl.float32)
    for start in range(0, D, K):
        column_K = start + tl.arange(0, K)
        left_MK = chunk_of(left_M, mask_M, column_K, D).to(tl.float32)
        right_MK = chunk_of(right_M, mask_M, column_K, D).to(tl.float32)
        difference_MK = (left_MK - right_MK) * scale
        squared_M += tl.sum(difference_MK * difference_MK, axis=1)
    return squared_M


@triton.jit
def _distances_to_one(left_M, mask_M, right, scale, D, M: tl.constexpr, K: tl.constexpr):
    """As `distances_of_pairs`, of M rows to the one row that begins at ``right``."""
    squared_M = tl.zeros((M,), tl.float32)
    for start in range(0, D, K):
        column_K = start + tl.arange(0, K)
        left_MK = chunk_of(left_M, mask_M, column_K, D).to(tl.float32)
        right_K = tl.load(right + column_K, mask=column_K < D, other=0.0).to(tl.float32)
        difference_MK = (left_MK - right_K[None, :]) * scale
        squared_M += tl.sum(difference_MK * difference_MK, axis=1)
    return squared_M


@triton.jit
def first_set(flag_N, N: tl.constexpr):
    """The lowest position of a flag that is not 0; N if there is none."""
    return tl.min(tl.where(flag_N != 0, tl.arange(0, N), N), axis=0)


@triton.jit
def distance_tile(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr, x_stride, moved_stride,
    row_M, mask_M, column_N, mask_N, D,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Squared distances of the embeddings ``row_M`` to the embeddings ``column_N``.

    x, moved and rest (B x D, column stride 1), norm (B, float32) and units (3 float32) are those
    of `pairwise_launch.Ready`; row_M and column_N index into them, and where a mask is false
    nothing is read. Returns the distances in Ready's units (M x N, float32; 0 of a row to itself,
    NaN where a row has a NaN, any value where masked) and which pairs are close (M x N, bool;
    never a row and itself).
    """
    products_MN = _products(
        moved_ptr, rest_ptr, moved_stride, row_M, mask_M, column_N, mask_N, D, M, N, K, PRECISION
    )
    # A power of two: twice it is as exact.
    twice = 2.0
    if units_ptr is not None:
        twice = 2.0 * tl.load(units_ptr)
    norm_M = tl.load(norm_ptr + row_M, mask=mask_M, other=0.0)
    norm_N = tl.load(norm_ptr + column_N, mask=mask_N, other=0.0)

    scale_MN = norm_M[:, None] + norm_N[None, :]
    squared_MN = scale_MN - twice * products_MN
    itself_MN = row_M[:, None] == column_N[None, :]
    # Times zero, not zero: a NaN stays.
    squared_MN = tl.where((squared_MN < 0.0) | itself_MN, squared_MN * 0.0, squared_MN)
    other_MN = (row_M[:, None] != column_N[None, :]) & mask_M[:, None] & mask_N[None, :]
    close_MN = (squared_MN < scale_MN * CLOSE) & other_MN

    scale, _ = scales(units_ptr)
    position_N = tl.arange(0, N)
    todo_N = tl.max(close_MN.to(tl.int32), axis=0)
    while first_set(todo_N, N) < N:
        here_N = position_N == first_set(todo_N, N)
        partner = tl.sum(tl.where(here_N, column_N, 0), axis=0)
        exact_M = _distances_to_one(
            row_pointers(x_ptr, row_M, x_stride), mask_M,
            row_pointers(x_ptr, partner, x_stride), scale, D, M, K,
        )  # fmt: skip
        squared_MN = tl.where(close_MN & here_N[None, :], exact_M[:, None], squared_MN)
        todo_N = tl.where(here_N, 0, todo_N)
    return squared_MN, close_MN
