"""Triplet loss, batch hard: the kernels. B x B is never stored.

1. `_hardest_kernel` makes distances a tile at a time and keeps, for each anchor, the farthest
   positive and the nearest negative of its share of the columns.
2. `_terms_kernel` picks the best of the shares and computes the hinge again from the differences,
   so that the value has no cancellation in it.
3. Backward: four entries an anchor in `gradient_of_list`.

Time O(B^2 D) forward and O(B D + B log B) backward; memory O(B) beyond inputs and outputs. Which
samples are hardest is decided as by the definition, whatever the rounding of distances
(`pairwise_choice`): ties go to the lowest index. A NaN or an infinity in any row makes every
term NaN.

Legend: B batch, D dimension; M rows and N columns of a tile, K a chunk of D.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..shared.launching import blocks, launch, row_major
from ..shared.operators import differentiable, operator
from ..shared.pairwise import distance_tile, row_pointers
from ..shared.pairwise_choice import NONE, is_less, settle, take_least
from ..shared.pairwise_gradient import gradient_of_list
from ..shared.pairwise_launch import ROWS, Ready, columns_of, ready, splits_of
from ..shared.pairwise_tiles import PairTile, with_tile
from .fused_hinge import gaps_of_triplets, hinges

# What the distance of a positive is taken for at least: minus it has to be below 0.
_NEAREST = tl.constexpr(2.0**-126)


@triton.jit(do_not_specialize=["each"])
def _hardest_kernel(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr,  # embeddings made ready, see distance_tile
    lowest_ptr, highest_ptr,  # the least and the greatest norm, a float32 each
    label_ptr,  # labels (B), int64
    positive_share_ptr,  # out (splits x B) int32: farthest positive, NONE where none
    farthest_share_ptr,  # out (splits x B) float32: minus its squared distance, inf where none
    negative_share_ptr,  # out (splits x B) int32: nearest negative, NONE where none
    nearest_share_ptr,  # out (splits x B) float32: its squared distance, inf where none
    B, D, x_stride, moved_stride, each,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(B, M)
    split = tl.program_id(0) // across
    row_M = (tl.program_id(0) % across) * M + tl.arange(0, M)
    mask_M = row_M < B
    label_M = tl.load(label_ptr + row_M, mask=mask_M, other=-1)
    norm_M = tl.load(norm_ptr + row_M, mask=mask_M, other=0.0)
    lowest, highest = tl.load(lowest_ptr), tl.load(highest_ptr)

    farthest_M = tl.full((M,), float("inf"), tl.float32)
    nearest_M = tl.full((M,), float("inf"), tl.float32)
    positive_M = tl.full((M,), NONE, tl.int32)
    negative_M = tl.full((M,), NONE, tl.int32)
    no_bar_M = tl.full((M,), -float("inf"), tl.float32)
    last = tl.minimum((split + 1) * each, tl.cdiv(B, N))
    for block in range(split * each, last):
        column_N = block * N + tl.arange(0, N)
        mask_N = column_N < B
        squared_MN, _ = distance_tile(
            x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr, x_stride, moved_stride,
            row_M, mask_M, column_N, mask_N, D, M, N, K, PRECISION,
        )  # fmt: skip
        # Loaded this late so that they hold no registers during the products.
        label_N = tl.load(label_ptr + column_N, mask=mask_N, other=-1)
        same_MN = label_M[:, None] == label_N[None, :]
        itself_MN = row_M[:, None] == column_N[None, :]
        there_MN = mask_M[:, None] & mask_N[None, :]
        # Minus the distance of a positive, so that the least is the farthest.
        key_MN = tl.where(same_MN, -tl.maximum(squared_MN, _NEAREST), squared_MN)
        key_MN = tl.where(there_MN & (itself_MN == 0), key_MN, float("inf"))

        farthest_M, positive_M, doubt_M = take_least(
            farthest_M, positive_M, tl.where(key_MN < 0.0, key_MN, float("inf")),
            column_N, no_bar_M, norm_M, lowest, highest, D,
        )  # fmt: skip
        nearest_M, negative_M, again_M = take_least(
            nearest_M, negative_M, tl.where(key_MN >= 0.0, key_MN, float("inf")),
            column_N, no_bar_M, norm_M, lowest, highest, D,
        )  # fmt: skip
        doubt_M = doubt_M | again_M
        for side in range(0, 2 * tl.max(doubt_M.to(tl.int32), axis=0)):
            first = side == 0
            least_M, index_M = settle(
                tl.where(first, farthest_M, nearest_M), tl.where(first, positive_M, negative_M),
                key_MN, 1.0, tl.where(first, no_bar_M, 0.0),
                tl.where(first, -_NEAREST, float("inf")), column_N,
                tl.where(first, -1.0, 1.0), no_bar_M, row_M,
                x_ptr, x_stride, row_M, norm_M, lowest, highest, D, N,
            )  # fmt: skip
            farthest_M = tl.where(first, least_M, farthest_M)
            positive_M = tl.where(first, index_M, positive_M)
            nearest_M = tl.where(first, nearest_M, least_M)
            negative_M = tl.where(first, negative_M, index_M)

    out_M = split.to(tl.int64) * B + row_M
    tl.store(positive_share_ptr + out_M, positive_M, mask=mask_M)
    tl.store(farthest_share_ptr + out_M, farthest_M, mask=mask_M)
    tl.store(negative_share_ptr + out_M, negative_M, mask=mask_M)
    tl.store(nearest_share_ptr + out_M, nearest_M, mask=mask_M)


@triton.jit(do_not_specialize=["splits"])
def _terms_kernel(
    x_ptr,  # embeddings (B x D), row stride x_stride
    norm_ptr, lowest_ptr, highest_ptr,  # as _hardest_kernel's
    index_ptr,  # (2 x splits x B) int32: the shares of _hardest_kernel, positives first
    key_ptr,  # (2 x splits x B) float32: their keys
    term_ptr,  # out (B) float32: the hinge, 0 where a positive or a negative is missing
    positive_ptr,  # out (B) int64: farthest positive, -1 where none
    negative_ptr,  # out (B) int64: nearest negative, -1 where none
    B, D, x_stride, splits, margin, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    row_M = tl.program_id(0) * M + tl.arange(0, M)
    mask_M = row_M < B
    norm_M = tl.load(norm_ptr + row_M, mask=mask_M, other=0.0)
    lowest, highest = tl.load(lowest_ptr), tl.load(highest_ptr)

    positive_M = tl.full((M,), NONE, tl.int32)
    negative_M = tl.full((M,), NONE, tl.int32)
    share_M = row_M.to(tl.int64)
    for side in range(2):
        key_M = tl.full((M,), float("inf"), tl.float32)
        for _ in range(splits):
            rival_key_M = tl.load(key_ptr + share_M, mask=mask_M, other=0.0)
            rival_M = tl.load(index_ptr + share_M, mask=mask_M, other=0)
            less_M = is_less(
                key_M, negative_M, rival_key_M, rival_M, mask_M & (rival_M != NONE),
                tl.where(side == 0, -1.0, 1.0), x_ptr, x_stride, row_M, norm_M, lowest, highest, D,
            )  # fmt: skip
            key_M = tl.where(less_M, rival_key_M, key_M)
            negative_M = tl.where(less_M, rival_M, negative_M)
            share_M += B  # in 64 bits: the product of a split and B could pass 2^31
        if side == 0:
            positive_M = negative_M
            negative_M = tl.full((M,), NONE, tl.int32)

    some_M = mask_M & (positive_M != NONE) & (negative_M != NONE)
    gap_M = gaps_of_triplets(
        row_pointers(x_ptr, row_M, x_stride), row_pointers(x_ptr, positive_M, x_stride),
        row_pointers(x_ptr, negative_M, x_stride), some_M, D, K,
    )  # fmt: skip
    # Of the greatest norm 0, or NaN where any row has one.
    term_M = tl.where(some_M, hinges(gap_M, margin), 0.0) + 0.0 * highest
    positive_M = tl.where(positive_M != NONE, positive_M, -1)
    negative_M = tl.where(negative_M != NONE, negative_M, -1)
    tl.store(term_ptr + row_M, term_M, mask=mask_M)
    tl.store(positive_ptr + row_M, positive_M.to(tl.int64), mask=mask_M)
    tl.store(negative_ptr + row_M, negative_M.to(tl.int64), mask=mask_M)


def _hard_shape(embeddings: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    terms_B = embeddings.new_empty(embeddings.shape[0], dtype=torch.float32)
    positive_B = torch.empty_like(terms_B, dtype=torch.int64)
    return terms_B, positive_B, torch.empty_like(positive_B)


@operator("triplet_batch_hard", fake=_hard_shape)
def hard_terms(embeddings: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """The hinge of each anchor (B, float32), its positive and its negative (B, int64, -1 where
    there is none; no gradient)."""
    these, labels = ready(embeddings), labels.contiguous()
    return with_tile(
        "reduce", "batch-hard", these.x_BD, lambda tile: _hardest(these, labels, margin, tile)
    )


def _hardest(
    these: Ready, labels: Tensor, margin: float, tile: PairTile
) -> tuple[Tensor, Tensor, Tensor]:
    batch, dim = these.x_BD.shape
    across = blocks(batch, tile.rows)
    splits, each = splits_of(across, blocks(batch, tile.columns), labels.device)
    index_2SB = torch.empty(2, splits, batch, dtype=torch.int32, device=labels.device)
    key_2SB = torch.empty(2, splits, batch, dtype=torch.float32, device=labels.device)
    norms = these.norm_range
    launch(
        _hardest_kernel, across * splits,
        **these.arguments, **norms, label_ptr=labels,
        positive_share_ptr=index_2SB[0], farthest_share_ptr=key_2SB[0],
        negative_share_ptr=index_2SB[1], nearest_share_ptr=key_2SB[1],
        each=each, **tile.options(these.x_BD),
    )  # fmt: skip
    terms_B, positive_B, negative_B = outputs = _hard_shape(these.x_BD, labels, margin)
    launch(
        _terms_kernel, blocks(batch, ROWS),
        x_ptr=these.x_BD, norm_ptr=these.norm_B, **norms,
        index_ptr=index_2SB, key_ptr=key_2SB,
        term_ptr=terms_B, positive_ptr=positive_B, negative_ptr=negative_B,
        B=batch, D=dim, x_stride=these.x_BD.stride(0), splits=splits, margin=margin,
        M=ROWS, K=columns_of(these.x_BD),
    )  # fmt: skip
    return outputs


def _gradient_shape(
    embeddings: Tensor, terms: Tensor, positive: Tensor, negative: Tensor, upstream: Tensor
) -> Tensor:
    return torch.empty_like(embeddings, memory_format=torch.contiguous_format)


@operator("triplet_batch_hard_gradient", fake=_gradient_shape)
def hard_gradient(
    embeddings: Tensor, terms: Tensor, positive: Tensor, negative: Tensor, upstream: Tensor
) -> Tensor:
    """Gradient by the embeddings (B x D, their dtype) for upstream gradients (B) of the terms."""
    anchor = torch.arange(len(terms), device=terms.device)
    # Where no triplet was found the partners are the anchor itself: its difference is 0.
    found = (positive >= 0) & (negative >= 0)
    positive, negative = positive.where(found, anchor), negative.where(found, anchor)
    slope_B = 2 * upstream * torch.where(terms > 0, 1.0, terms)
    return gradient_of_list(
        row_major(embeddings),
        row=torch.cat((anchor, anchor, positive, negative)),
        other=torch.cat((positive, negative, anchor, anchor)),
        coefficient=torch.cat((slope_B, -slope_B, slope_B, -slope_B)),
    )


def _save(ctx, inputs, output) -> None:
    terms_B, positive_B, negative_B = output
    ctx.mark_non_differentiable(positive_B, negative_B)
    ctx.save_for_backward(inputs[0], terms_B, positive_B, negative_B)


def _backward(ctx, upstream, *_):
    return hard_gradient(*ctx.saved_tensors, upstream), None, None


differentiable(hard_terms, backward=_backward, save=_save)
