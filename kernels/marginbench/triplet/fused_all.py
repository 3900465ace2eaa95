"""Triplet loss over all triplets, or all semi-hard ones: the kernels. B^3 is never stored.

1. `_distances_kernel`: the distances, B x B float32, a tile at a time.
2. `fused_ties`: one anchor a program. Where rounding may decide whether a hinge is above 0, or in a
   second launch whether a negative lies beyond a positive, both distances are made exact
   (`pairwise_choice`). What is equal then compares as equal, after one rounding to float32.
3. `_triplets_kernel`: one anchor a program. Its positives are sorted, 64 at a time, and each of its
   negatives finds its rank among them, in log2 steps: the positives above it are those whose hinges
   are above zero, a suffix sum gives their total, a histogram of the ranks how many negatives each
   positive has. With ``counts`` it writes how the anchor's sum depends on each distance: for a
   positive, in how many selected triplets it is, and for a negative the same below zero.
4. `_gradient_kernel`: those counts, weighted by the anchors' upstream gradients and folded over
   the diagonal, are the coefficients of a product with the embeddings.

Time O(B^2 D) and, for P positives an anchor taken S at a time, O(B^2 ceil(P / S) log S), never the
B^2 P of comparing each with each; for a handful of positives that would do as well, without the
sort. Memory: B x B float32 once, and twice in a forward pass that a backward pass follows, which
keeps one of the two. The same bits every time: what is counted together are integers.

Legend: B batch, D dimension; M rows and N columns of a tile, K a chunk of D, E a chunk of the
gradient's D; S positives and Q columns at a time.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..shared.launching import blocks, launch, power_of_two
from ..shared.operators import differentiable, operator
from ..shared.pairwise import distance_tile, row_pointers, scales
from ..shared.pairwise_gradient import add_product
from ..shared.pairwise_launch import ready, tile_for
from .fused_groups import groups_of
from .fused_hinge import summing_units, threshold_of
from .fused_ranks import positives_of, rank_of, sums_from
from .fused_ties import ties_kernel

# Positives that one program sorts, and columns that it ranks among them, at a time: powers of two.
POSITIVES, NEGATIVES = 64, 512


@triton.jit
def _distances_kernel(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr,  # embeddings made ready, see distance_tile
    squared_ptr,  # out (B x B) float32: squared distances
    B, D, x_stride, moved_stride,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(B, M)
    row_M = (tl.program_id(0) % across) * M + tl.arange(0, M)
    column_N = (tl.program_id(0) // across) * N + tl.arange(0, N)
    mask_M = row_M < B
    mask_N = column_N < B
    squared_MN, _ = distance_tile(
        x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr, x_stride, moved_stride,
        row_M, mask_M, column_N, mask_N, D, M, N, K, PRECISION,
    )  # fmt: skip
    out_MN = squared_ptr + row_M.to(tl.int64)[:, None] * B + column_N[None, :]
    tl.store(out_MN, squared_MN, mask=mask_M[:, None] & mask_N[None, :])


@triton.jit
def _triplets_kernel(
    squared_ptr,  # (B x B) float32: squared distances
    units_ptr,  # their units, see distance_tile
    order_ptr,  # (B) int32: indices sorted by label
    begin_ptr,  # (B) int32: where the group of a sample begins in order
    end_ptr,  # (B) int32: where it ends
    term_ptr,  # out (B) float32: sum of the anchor's hinges
    selected_ptr,  # out (B) int64: how many triplets were selected
    count_ptr,  # out (B x B) float32 if COUNTS: derivative of the term by each distance
    B, margin,
    S: tl.constexpr, Q: tl.constexpr, BEYOND: tl.constexpr, COUNTS: tl.constexpr,
):  # fmt: skip
    """Selected is a hinge above 0; with ``BEYOND`` the negative must also be farther than the
    positive. Of a negative's sorted positives those of rank first .. last - 1 are selected."""
    anchor = tl.program_id(0)
    row = anchor.to(tl.int64) * B
    begin = tl.load(begin_ptr + anchor)
    end = tl.load(end_ptr + anchor)
    scale, inverse = scales(units_ptr)
    threshold = threshold_of(margin, scale)
    summed, _unsummed = summing_units(scale, inverse)
    ratio, shift = summed * inverse, margin * summed * summed

    sum_Q = tl.zeros((Q,), tl.float32)
    selected_Q = tl.zeros((Q,), tl.int32)
    spoilt = 0.0
    for place in range(begin, end, S):
        positive_S, real_S, near_S, sorted_S = positives_of(
            squared_ptr + row, order_ptr, place, end, anchor, S
        )
        # NaN if a distance is not finite.
        spoilt += tl.sum(near_S * 0.0, axis=0)
        real = tl.sum(real_S.to(tl.int32), axis=0)
        # All from the highest threshold: numbers as small as the hinges, of which little cancels.
        inside_S = tl.arange(0, S) < real
        summed_S = tl.where(inside_S, sorted_S, 0.0) * ratio * ratio
        top = tl.max(summed_S, axis=0) + shift
        suffix_S = tl.cumsum(
            tl.where(inside_S, top - (summed_S + shift), 0.0), axis=0, reverse=True
        )
        begins_S = tl.zeros((S,), tl.int32)
        for start in range(0, B, Q):
            column_Q = start + tl.arange(0, Q)
            mask_Q = column_Q < B
            group_Q = tl.load(begin_ptr + column_Q, mask=mask_Q, other=begin)
            negative_Q = group_Q != begin
            far_Q = tl.load(squared_ptr + row + column_Q, mask=negative_Q, other=0.0)
            first_Q, _ = rank_of(sorted_S, real, far_Q, threshold, False)
            below_Q = sums_from(suffix_S, first_Q, real)
            last_Q = tl.zeros_like(first_Q) + real
            if BEYOND:
                last_Q, _ = rank_of(sorted_S, real, far_Q, threshold, True)
                first_Q = tl.minimum(first_Q, last_Q)
                below_Q = sums_from(suffix_S, first_Q, real) - sums_from(suffix_S, last_Q, real)
            number_Q = tl.where(negative_Q, last_Q - first_Q, 0)
            hinges_Q = number_Q.to(tl.float32) * (top - far_Q * ratio * ratio) - below_Q
            sum_Q += tl.where(number_Q > 0, tl.maximum(hinges_Q, 0.0), 0.0)
            sum_Q += tl.where(far_Q != far_Q, far_Q, 0.0)
            selected_Q += number_Q
            if COUNTS:
                counted_Q = number_Q > 0
                begins_S += tl.histogram(first_Q, S, mask=counted_Q)
                if BEYOND:
                    begins_S -= tl.histogram(last_Q, S, mask=counted_Q & (last_Q < S))
                slope_Q = -number_Q.to(tl.float32)
                if place > begin:
                    slope_Q += tl.load(count_ptr + row + column_Q, mask=negative_Q, other=0.0)
                tl.store(count_ptr + row + column_Q, slope_Q, mask=negative_Q)
        if COUNTS:
            # Of equal distances the first rank will do: no negative begins or ends between them.
            rank_S, _ = rank_of(sorted_S, real, near_S, threshold, True)
            triplets_S = tl.gather(tl.cumsum(begins_S, axis=0), rank_S, axis=0)
            triplets_S = tl.where(real_S, triplets_S, 0).to(tl.float32)
            there_S = place + tl.arange(0, S) < end
            tl.store(count_ptr + row + positive_S, triplets_S, mask=there_S)
            # The next positives add to what other threads may have stored.
            tl.debug_barrier()

    # Loaded again, so that they hold no registers meanwhile.
    scale, inverse = scales(units_ptr)
    _, unsummed = summing_units(scale, inverse)
    tl.store(term_ptr + anchor, tl.sum(sum_Q, axis=0) * unsummed * unsummed + spoilt)
    tl.store(selected_ptr + anchor, tl.sum(selected_Q.to(tl.int64), axis=0))


@triton.jit
def _gradient_kernel(
    moved_ptr, units_ptr,  # embeddings (B x D), row stride moved_stride, and their units
    count_ptr,  # (B x B) float32: derivative of each anchor's term by each distance
    upstream_ptr,  # gradient of the terms (B), float32, stride upstream_stride
    gradient_ptr,  # out (B x D), contiguous
    B, D, moved_stride, upstream_stride,
    M: tl.constexpr, N: tl.constexpr, E: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """sum over j of c_ij (x_i - x_j), c_ij = 2 (upstream_i count_ij + upstream_j count_ji)."""
    across = tl.cdiv(B, M)
    row_M = (tl.program_id(0) % across) * M + tl.arange(0, M)
    output_E = (tl.program_id(0) // across) * E + tl.arange(0, E)
    mask_M = row_M < B
    inside_E = output_E < D
    mask_ME = mask_M[:, None] & inside_E[None, :]
    wide_row_M = row_M.to(tl.int64)
    upstream_M = tl.load(upstream_ptr + row_M * upstream_stride, mask=mask_M, other=0.0)

    weight_M = tl.zeros((M,), tl.float32)
    sum_ME = tl.zeros((M, E), tl.float32)
    for start in range(0, B, N):
        column_N = start + tl.arange(0, N)
        mask_N = column_N < B
        wide_column_N = column_N.to(tl.int64)
        upstream_N = tl.load(upstream_ptr + column_N * upstream_stride, mask=mask_N, other=0.0)
        count_MN = tl.load(
            count_ptr + wide_row_M[:, None] * B + column_N[None, :],
            mask=mask_M[:, None] & mask_N[None, :],
            other=0.0,
        )
        back_NM = tl.load(
            count_ptr + wide_column_N[:, None] * B + row_M[None, :],
            mask=mask_N[:, None] & mask_M[None, :],
            other=0.0,
        )
        own_MN = upstream_M[:, None] * count_MN
        theirs_MN = tl.trans(back_NM * upstream_N[:, None])
        right_NE = tl.load(
            row_pointers(moved_ptr, column_N, moved_stride)[:, None] + output_E[None, :],
            mask=mask_N[:, None] & inside_E[None, :],
            other=0.0,
        )
        sum_ME, weight_M = add_product(
            sum_ME, weight_M, 2.0 * (own_MN + theirs_MN), right_NE, PRECISION
        )

    left_ME = tl.load(
        row_pointers(moved_ptr, row_M, moved_stride)[:, None] + output_E[None, :],
        mask=mask_ME,
        other=0.0,
    )
    _, inverse = scales(units_ptr)
    gradient_ME = (weight_M[:, None] * left_ME.to(tl.float32) - sum_ME) * inverse
    out_ME = gradient_ptr + wide_row_M[:, None] * D + output_E[None, :]
    tl.store(out_ME, gradient_ME.to(gradient_ptr.dtype.element_ty), mask=mask_ME)


def _terms_shape(
    embeddings: Tensor, labels: Tensor, margin: float, beyond: bool, counts: bool
) -> tuple[Tensor, Tensor, Tensor]:
    batch = embeddings.shape[0]
    terms_B = embeddings.new_empty(batch, dtype=torch.float32)
    selected_B = torch.empty_like(terms_B, dtype=torch.int64)
    return terms_B, selected_B, terms_B.new_empty((batch, batch) if counts else (0, 0))


@operator("triplet_all", fake=_terms_shape)
def all_terms(
    embeddings: Tensor, labels: Tensor, margin: float, beyond: bool, counts: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of each anchor's hinges (B, float32), how many triplets were selected (B, int64)
    and, with ``counts``, what the gradient needs (B x B, float32); only the sums take a gradient.

    ``beyond`` selects only negatives farther than the positive.
    """
    these, groups = ready(embeddings, exact=True), groups_of(labels)
    batch = len(labels)
    tile = tile_for("exact", these.x_BD)
    squared_BB = torch.empty(batch, batch, dtype=torch.float32, device=labels.device)
    launch(
        _distances_kernel, blocks(batch, tile.rows) * blocks(batch, tile.columns),
        **these.arguments, squared_ptr=squared_BB, **tile.options(these.x_BD),
    )  # fmt: skip
    common = {
        "squared_ptr": squared_BB, "units_ptr": these.units, "order_ptr": groups.order,
        "begin_ptr": groups.begin, "end_ptr": groups.end, "B": batch,
        "S": power_of_two(batch, 2, POSITIVES), "Q": NEGATIVES,
    }  # fmt: skip
    for border in (margin, 0.0) if beyond else (margin,):
        launch(
            ties_kernel, batch,
            **common, x_ptr=these.x_BD, norm_ptr=these.norm_B, **these.norm_range,
            D=these.x_BD.shape[1], x_stride=these.x_BD.stride(0), margin=border,
            num_warps=2,
        )  # fmt: skip
    terms_B, selected_B, count_BB = _terms_shape(embeddings, labels, margin, beyond, counts)
    launch(
        _triplets_kernel, batch,
        **common, margin=margin, term_ptr=terms_B, selected_ptr=selected_B, count_ptr=count_BB,
        BEYOND=beyond, COUNTS=counts, num_warps=4,
    )  # fmt: skip
    return terms_B, selected_B, count_BB


def _gradient_shape(embeddings: Tensor, counts: Tensor, upstream: Tensor) -> Tensor:
    return torch.empty_like(embeddings, memory_format=torch.contiguous_format)


@operator("triplet_all_gradient", fake=_gradient_shape)
def all_gradient(embeddings: Tensor, counts: Tensor, upstream: Tensor) -> Tensor:
    """Gradient by the embeddings (B x D, their dtype) for upstream gradients (B) of the terms."""
    these = ready(embeddings, compared=False)
    batch, dim = embeddings.shape
    tile = tile_for("product", these.x_BD)
    output = power_of_two(dim, 16, tile.output)
    gradient_BD = _gradient_shape(embeddings, counts, upstream)
    options = {name: v for name, v in tile.options(these.x_BD).items() if name != "K"}
    launch(
        _gradient_kernel, blocks(batch, tile.rows) * blocks(dim, output),
        moved_ptr=these.moved_BD, units_ptr=these.units, count_ptr=counts, upstream_ptr=upstream,
        gradient_ptr=gradient_BD, B=batch, D=dim, moved_stride=these.moved_BD.stride(0),
        upstream_stride=upstream.stride(0), E=output, **options,
    )  # fmt: skip
    return gradient_BD


def _save(ctx, inputs, output) -> None:
    _, selected_B, count_BB = output
    ctx.mark_non_differentiable(selected_B, count_BB)
    ctx.set_materialize_grads(False)  # zeros for the counts would be another B x B
    ctx.save_for_backward(inputs[0], count_BB)


def _backward(ctx, upstream, *_):
    return all_gradient(*ctx.saved_tensors, upstream), None, None, None, None


differentiable(all_terms, backward=_backward, save=_save)
