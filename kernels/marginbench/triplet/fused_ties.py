"""Recomputes exactly the squared distances that rounding may put on the wrong side of a threshold.

Which triplets count is decided by comparing two squared distances, or a hinge with zero. Where what
is compared is nearer than rounding, both are recomputed from differences, in float64, and rounded
to float32 once: equal ones then compare as equal.

Legend: B batch, D dimension; S positives and Q columns at a time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..shared.pairwise import first_set, scales
from ..shared.pairwise_choice import exact_distance, rounding
from .fused_hinge import threshold_of
from .fused_ranks import positives_of, rank_of


@triton.jit
def ties_kernel(
    squared_ptr,  # (B x B) float32: squared distances, made exact where it may matter
    x_ptr, norm_ptr, units_ptr,  # embeddings made ready, see distance_tile
    lowest_ptr, highest_ptr,  # the least and the greatest norm, a float32 each
    order_ptr,  # (B) int32: indices sorted by label
    begin_ptr,  # (B) int32: where the group of a sample begins in order
    end_ptr,  # (B) int32: where it ends
    B, D, x_stride, margin,
    S: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """Of the border where a hinge ends; with a margin of 0 that is where a negative lies beyond a
    positive."""
    anchor = tl.program_id(0)
    row = anchor.to(tl.int64) * B
    begin = tl.load(begin_ptr + anchor)
    end = tl.load(end_ptr + anchor)
    norm = tl.load(norm_ptr + anchor)
    lowest, highest = tl.load(lowest_ptr), tl.load(highest_ptr)
    scale, _inverse = scales(units_ptr)
    threshold = threshold_of(margin, scale)
    slot_S, slot_Q = tl.arange(0, S), tl.arange(0, Q)
    for place in range(begin, end, S):
        positive_S, real_S, near_S, sorted_S = positives_of(
            squared_ptr + row, order_ptr, place, end, anchor, S
        )
        real = tl.sum(real_S.to(tl.int32), axis=0)
        todo_S = tl.zeros((S,), tl.int32)
        for start in range(0, B, Q):
            column_Q = start + slot_Q
            group_Q = tl.load(begin_ptr + column_Q, mask=column_Q < B, other=begin)
            far_Q = tl.load(squared_ptr + row + column_Q, mask=group_Q != begin, other=0.0)
            _rank_Q, nearest_Q = rank_of(sorted_S, real, far_Q, threshold, False)
            open_Q = nearest_Q <= rounding(far_Q, norm, lowest, highest, D)
            todo_Q = ((group_Q != begin) & open_Q).to(tl.int32)
            first = first_set(todo_Q, Q)
            while first < Q:
                # Loaded again, so that no columns are held meanwhile.
                far = tl.load(squared_ptr + row + start + first)
                doubtful = rounding(far, norm, lowest, highest, D)
                todo_S = tl.where(tl.abs(near_S - far + threshold) <= doubtful, 1, todo_S)
                exact = exact_distance(x_ptr, x_stride, anchor, start + first, scale, D)
                tl.store(squared_ptr + row + start + first, exact)
                todo_Q = tl.where(slot_Q == first, 0, todo_Q)
                first = first_set(todo_Q, Q)
        todo_S = tl.where(real_S, todo_S, 0)
        first = first_set(todo_S, S)
        while first < S:
            positive = tl.sum(tl.where(slot_S == first, positive_S, 0), axis=0)
            exact = exact_distance(x_ptr, x_stride, anchor, positive, scale, D)
            tl.store(squared_ptr + row + positive, exact)
            todo_S = tl.where(slot_S == first, 0, todo_S)
            first = first_set(todo_S, S)
