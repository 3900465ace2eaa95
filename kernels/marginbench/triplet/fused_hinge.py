"""Hinges, from differences of distances in float64; and margins and sums of distances that are in
units of their own: those of embeddings times a power of two, the scale (`pairwise_launch.Ready`).
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..shared.pairwise import chunk_of

# The least float32 above 0.
_LEAST = tl.constexpr(2.0**-149)


@triton.jit
def gaps(a_MK, p_MK, n_MK):
    """||a - p||^2 - ||a - n||^2 of a chunk of columns (M, float64), which holds the squares of all
    float32. As a product, which is 0 where p is n."""
    a_MK, p_MK, n_MK = a_MK.to(tl.float64), p_MK.to(tl.float64), n_MK.to(tl.float64)
    return tl.sum((n_MK - p_MK) * ((a_MK - p_MK) + (a_MK - n_MK)), axis=1)


@triton.jit
def gaps_of_triplets(anchor_M, positive_M, negative_M, mask_M, D, K: tl.constexpr):
    """The same of the rows that begin there, K columns at a time; 0 where masked."""
    gap_M = tl.zeros_like(mask_M).to(tl.float64)
    for start in range(0, D, K):
        column_K = start + tl.arange(0, K)
        gap_M += gaps(
            chunk_of(anchor_M, mask_M, column_K, D).to(tl.float32),
            chunk_of(positive_M, mask_M, column_K, D).to(tl.float32),
            chunk_of(negative_M, mask_M, column_K, D).to(tl.float32),
        )
    return gap_M


@triton.jit
def hinges(gap_M, margin):
    """[gap + margin]_+ (float32). A NaN stays. A hinge above 0 for which no float32 is small enough
    is the least there is, for backward asks whether a hinge is above 0."""
    exact_M = gap_M + margin
    hinge_M = exact_M.to(tl.float32)
    hinge_M = tl.where((hinge_M == 0.0) & (exact_M > 0.0), _LEAST, hinge_M)
    return tl.where(hinge_M < 0.0, 0.0, hinge_M)


@triton.jit
def threshold_of(margin, scale):
    """The margin in the distances' units, kept away from 0 and infinity as float32 has them: with
    embeddings so long that it counts between equal distances alone, or so short that it is all
    that counts, it still does."""
    shift = tl.minimum(tl.maximum(margin * scale * scale, 2.0**-100), 2.0**100)
    return tl.where(margin > 0.0, shift, 0.0)


@triton.jit
def summing_units(scale, inverse):
    """What hinges are added up in: their own units, but for embeddings whose squares would leave
    the range, whose sums most likely leave it too: a power of two for them, and one over it."""
    summed = tl.minimum(tl.maximum(scale, 2.0**-52), 1.0)
    return summed, tl.maximum(tl.minimum(inverse, 2.0**52), 1.0)
