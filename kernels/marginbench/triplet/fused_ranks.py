"""Sorts a program's positives, and finds the rank of its negatives among them.

In registers alone: nothing here reads or writes memory. A slot at or above ``used`` or ``real``
holds no positive.

Legend: S positives and Q negatives at a time, S a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sort(x_S, used, S: tl.constexpr):
    """In rising order, by a bitonic network over as many slots as are ``used``, rounded up to a
    power of two; the rest hold infinity. Not tl.sort, which always sorts all."""
    slot_S = tl.arange(0, S)
    size = 2
    while size < 2 * used:
        step = size // 2
        while step > 0:
            other_S = tl.gather(x_S, slot_S ^ step, axis=0)
            takes_smaller_S = ((slot_S & step) == 0) == ((slot_S & size) == 0)
            x_S = tl.where(takes_smaller_S, tl.minimum(x_S, other_S), tl.maximum(x_S, other_S))
            step = step // 2
        size = 2 * size
    return x_S


@triton.jit
def rank_of(sorted_S, real, far_Q, margin, NEARER: tl.constexpr):
    """How many of the first ``real`` sorted distances have no hinge above 0 against each negative,
    or with ``NEARER`` lie below it; and how near to that the nearest of them is, for rounding may
    have decided (the search looks at those on either side). A NaN has the rank 0."""
    rank_Q = tl.zeros_like(far_Q).to(tl.int32)
    nearest_Q = tl.zeros_like(far_Q) + float("inf")
    step = 1
    while 2 * step <= real:
        step = 2 * step
    while step > 0:
        probe_Q = rank_Q + (step - 1)
        inside_Q = probe_Q < real
        probed_Q = tl.gather(sorted_S, tl.where(inside_Q, probe_Q, 0), axis=0)
        # The hinge as it is defined, for at a kink probed + margin <= far may round otherwise.
        over_Q = probed_Q - far_Q if NEARER else probed_Q - far_Q + margin
        passed_Q = probed_Q < far_Q if NEARER else over_Q <= 0.0
        rank_Q += tl.where(inside_Q & passed_Q, step, 0)
        nearest_Q = tl.where(inside_Q, tl.minimum(nearest_Q, tl.abs(over_Q)), nearest_Q)
        step = step // 2
    return rank_Q, nearest_Q


@triton.jit
def sums_from(suffix_S, rank_Q, real):
    """The suffix sums that begin at each rank; 0 behind the last."""
    inside_Q = rank_Q < real
    return tl.where(inside_Q, tl.gather(suffix_S, tl.where(inside_Q, rank_Q, 0), axis=0), 0.0)


@triton.jit
def positives_of(row_ptr, order_ptr, place, end, anchor, S: tl.constexpr):
    """S samples of the anchor's group from a place on: who they are, which are positives, their
    distances, and those in rising order. A NaN counts as infinity, so that there is an order."""
    place_S = place + tl.arange(0, S)
    positive_S = tl.load(order_ptr + place_S, mask=place_S < end, other=anchor)
    real_S = positive_S != anchor
    near_S = tl.load(row_ptr + positive_S, mask=real_S, other=0.0)
    finite_S = real_S & (near_S == near_S)
    used = tl.minimum(end - place, S)
    return positive_S, real_S, near_S, sort(tl.where(finite_S, near_S, float("inf")), used, S)
