"""Contrastive loss over all pairs of a batch: the kernels. B x B is never stored.

Forward and backward make the distances a tile at a time; backward turns them into coefficients in
registers and multiplies those with the embeddings. Memory beyond inputs and outputs: O(B), and
where few rows are split over columns to fill the GPU, that many partial sums (B each forward,
B x D backward), added in a fixed order. Products: B^2 D forward, (1 + D / output) B^2 D backward,
twice that for the second factor where coefficients go in as two parts.

Legend: B batch, D dimension; M rows and N columns of a tile, E a chunk of the gradient's D.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..shared.launching import blocks, launch, power_of_two
from ..shared.operators import differentiable, operator
from ..shared.pairwise import distance_tile, first_set, row_pointers, scales
from ..shared.pairwise_gradient import add_product
from ..shared.pairwise_launch import Ready, ready, splits_of
from ..shared.pairwise_tiles import PairTile, with_tile


@triton.jit(do_not_specialize=["each"])
def _terms_kernel(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr,  # embeddings made ready, see distance_tile
    label_ptr,  # labels (B), int64
    partial_ptr,  # out (splits x B) float32: sums over ``each`` blocks of columns
    B, D, x_stride, moved_stride, each, margin,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A quarter of the sum of D^2 (same) or max(0, margin - D)^2 (different) by row: half the
    pair's loss, which is half of that, belongs to either row."""
    across = tl.cdiv(B, M)
    split = tl.program_id(0) // across
    row_M = (tl.program_id(0) % across) * M + tl.arange(0, M)
    mask_M = row_M < B
    label_M = tl.load(label_ptr + row_M, mask=mask_M, other=-1)

    _scale, inverse = scales(units_ptr)

    sum_M = tl.zeros((M,), tl.float32)
    last = tl.minimum((split + 1) * each, tl.cdiv(B, N))
    for block in range(split * each, last):
        column_N = block * N + tl.arange(0, N)
        mask_N = column_N < B
        squared_MN, _ = distance_tile(
            x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr, x_stride, moved_stride,
            row_M, mask_M, column_N, mask_N, D, M, N, K, PRECISION,
        )  # fmt: skip
        label_N = tl.load(label_ptr + column_N, mask=mask_N, other=-1)
        # The root before the units: what it is of is never too small for it.
        gap_MN = margin - tl.sqrt(squared_MN) * inverse
        push_MN = tl.where(gap_MN < 0.0, 0.0, gap_MN * gap_MN)
        pull_MN = squared_MN * inverse * inverse
        pair_MN = tl.where(label_M[:, None] == label_N[None, :], pull_MN, push_MN)
        sum_M += tl.sum(tl.where(mask_N[None, :], pair_MN, 0.0), axis=1)

    tl.store(partial_ptr + split.to(tl.int64) * B + row_M, 0.25 * sum_M, mask=mask_M)


@triton.jit(do_not_specialize=["each"])
def _gradient_kernel(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr,  # embeddings made ready, see distance_tile
    label_ptr,  # labels (B), int64
    upstream_ptr,  # gradient of the terms (B), float32, stride upstream_stride
    partial_ptr,  # out (splits x B x D): sums over ``each`` blocks of columns
    B, D, x_stride, moved_stride, upstream_stride, each, margin,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, E: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """sum over j of c_ij (x_i - x_j): c = 1 for the same identity and -(margin - D)/D for others
    within the margin, times the mean of both rows' upstream gradients."""
    across = tl.cdiv(B, M)
    chunk = tl.program_id(0) // across
    split = chunk // tl.cdiv(D, E)
    row_M = (tl.program_id(0) % across) * M + tl.arange(0, M)
    output_E = (chunk % tl.cdiv(D, E)) * E + tl.arange(0, E)
    mask_M = row_M < B
    inside_E = output_E < D
    mask_ME = mask_M[:, None] & inside_E[None, :]
    label_M = tl.load(label_ptr + row_M, mask=mask_M, other=-1)
    upstream_M = tl.load(upstream_ptr + row_M * upstream_stride, mask=mask_M, other=0.0)
    scale, inverse = scales(units_ptr)

    weight_M = tl.zeros((M,), tl.float32)
    sum_ME = tl.zeros((M, E), tl.float32)
    last = tl.minimum((split + 1) * each, tl.cdiv(B, N))
    for block in range(split * each, last):
        column_N = block * N + tl.arange(0, N)
        mask_N = column_N < B
        squared_MN, close_MN = distance_tile(
            x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr, x_stride, moved_stride,
            row_M, mask_M, column_N, mask_N, D, M, N, K, PRECISION,
        )  # fmt: skip
        label_N = tl.load(label_ptr + column_N, mask=mask_N, other=-1)
        upstream_N = tl.load(upstream_ptr + column_N * upstream_stride, mask=mask_N, other=0.0)
        distance_MN = tl.sqrt(squared_MN)
        # At D = 0 the pair is not pushed: the sub-gradient 0.
        apart_MN = tl.where(squared_MN == 0.0, 1.0, distance_MN)
        push_MN = tl.where(squared_MN == 0.0, 0.0, (distance_MN - margin * scale) / apart_MN)
        push_MN = tl.where(push_MN > 0.0, 0.0, push_MN)
        slope_MN = tl.where(label_M[:, None] == label_N[None, :], 1.0, push_MN)
        coefficient_MN = slope_MN * (0.5 * (upstream_M[:, None] + upstream_N[None, :]))
        pair_MN = (row_M[:, None] != column_N[None, :]) & mask_M[:, None] & mask_N[None, :]
        coefficient_MN = tl.where(pair_MN, coefficient_MN, 0.0)

        # Near pairs have large coefficients on small differences: subtract first, then multiply.
        todo_N = tl.max(close_MN.to(tl.int32), axis=0)
        while first_set(todo_N, N) < N:
            here_N = tl.arange(0, N) == first_set(todo_N, N)
            partner = tl.sum(tl.where(here_N, column_N, 0), axis=0)
            other_E = tl.load(
                row_pointers(x_ptr, partner, x_stride) + output_E, mask=inside_E, other=0.0
            ).to(tl.float32)
            near_M = tl.sum(tl.where(close_MN & here_N[None, :], coefficient_MN, 0.0), axis=1)
            own_ME = tl.load(
                row_pointers(x_ptr, row_M, x_stride)[:, None] + output_E[None, :],
                mask=mask_ME,
                other=0.0,
            ).to(tl.float32)
            sum_ME -= near_M[:, None] * ((own_ME - other_E[None, :]) * scale)
            todo_N = tl.where(here_N, 0, todo_N)

        far_MN = tl.where(close_MN, 0.0, coefficient_MN)
        right_NE = tl.load(
            row_pointers(moved_ptr, column_N, moved_stride)[:, None] + output_E[None, :],
            mask=mask_N[:, None] & inside_E[None, :],
            other=0.0,
        )
        sum_ME, weight_M = add_product(sum_ME, weight_M, far_MN, right_NE, PRECISION)

    left_ME = tl.load(
        row_pointers(moved_ptr, row_M, moved_stride)[:, None] + output_E[None, :],
        mask=mask_ME,
        other=0.0,
    )
    gradient_ME = (weight_M[:, None] * left_ME.to(tl.float32) - sum_ME) * inverse
    out_M = (split.to(tl.int64) * B + row_M.to(tl.int64)) * D
    out_ME = partial_ptr + out_M[:, None] + output_E[None, :]
    tl.store(out_ME, gradient_ME.to(partial_ptr.dtype.element_ty), mask=mask_ME)


def _terms_shape(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    return embeddings.new_empty(embeddings.shape[0], dtype=torch.float32)


@operator("contrastive_all_pairs", fake=_terms_shape)
def all_pairs_terms(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    """l_i (B, float32): half the sum over j of the loss of the pair (i, j)."""
    these, labels = ready(embeddings, exact=True), labels.contiguous()
    return with_tile(
        "exact", "all pairs", these.x_BD, lambda tile: _terms(these, labels, margin, tile)
    )


def _terms(these: Ready, labels: Tensor, margin: float, tile: PairTile) -> Tensor:
    batch = len(labels)
    across = blocks(batch, tile.rows)
    splits, each = splits_of(across, blocks(batch, tile.columns), labels.device)
    partial_SB = torch.empty(splits, batch, dtype=torch.float32, device=labels.device)
    launch(
        _terms_kernel, across * splits,
        **these.arguments, label_ptr=labels, partial_ptr=partial_SB, each=each, margin=margin,
        **tile.options(these.x_BD),
    )  # fmt: skip
    return partial_SB.sum(dim=0)


def _gradient_shape(embeddings: Tensor, labels: Tensor, upstream: Tensor, margin: float) -> Tensor:
    return torch.empty_like(embeddings, memory_format=torch.contiguous_format)


@operator("contrastive_all_pairs_gradient", fake=_gradient_shape)
def all_pairs_gradient(
    embeddings: Tensor, labels: Tensor, upstream: Tensor, margin: float
) -> Tensor:
    """Gradient by the embeddings (B x D, their dtype) for upstream gradients (B) of the terms."""
    these, labels = ready(embeddings), labels.contiguous()
    return with_tile(
        "gradient", "all pairs", these.x_BD,
        lambda tile: _gradient(these, labels, upstream, margin, tile),
    )  # fmt: skip


def _gradient(
    these: Ready, labels: Tensor, upstream: Tensor, margin: float, tile: PairTile
) -> Tensor:
    batch, dim = these.x_BD.shape
    output = power_of_two(dim, 16, tile.output)
    across = blocks(batch, tile.rows) * blocks(dim, output)
    splits, each = splits_of(across, blocks(batch, tile.columns), labels.device)
    dtype = these.x_BD.dtype if splits == 1 else torch.float32
    partial_SBD = torch.empty(splits, batch, dim, dtype=dtype, device=labels.device)
    launch(
        _gradient_kernel, across * splits,
        **these.arguments, label_ptr=labels, upstream_ptr=upstream, partial_ptr=partial_SBD,
        upstream_stride=upstream.stride(0), each=each, margin=margin,
        E=output, **tile.options(these.x_BD),
    )  # fmt: skip
    return partial_SBD[0] if splits == 1 else partial_SBD.sum(dim=0).to(these.x_BD.dtype)


def _save(ctx, inputs, output) -> None:
    embeddings, labels, margin = inputs
    ctx.save_for_backward(embeddings, labels)
    ctx.margin = margin


def _backward(ctx, upstream):
    embeddings, labels = ctx.saved_tensors
    return all_pairs_gradient(embeddings, labels, upstream, ctx.margin), None, None


differentiable(all_pairs_terms, backward=_backward, save=_save)
