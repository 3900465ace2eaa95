"""Triplet loss, batch hard: the kernels. B x B is never stored.

1. `_hardest_kernel` makes distances a tile at a time and keeps, for each anchor, the farthest
   positive and the nearest negative of its share of the columns.
2. `_terms_kernel` picks the best of the shares and computes the two distances again from the
   differences, so that the value has no cancellation in it.
3. Backward: four entries an anchor in `gradient_of_list`.

Time O(B^2 D) forward and O(B D + B log B) backward; memory O(B) beyond inputs and outputs. Of
equal candidates the lowest index wins: columns are scanned in rising order, and a candidate has to
be better to replace one. A NaN or an infinity in any row makes every term NaN.

Legend: B batch, D dimension; M rows and N columns of a tile, K a chunk of D.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..machines.launching import blocks, launch, row_major
from ..machines.operators import differentiable, operator
from ..machines.pairwise import distance_tile, distances_of_pairs, row_pointers
from ..machines.pairwise_gradient import gradient_of_list
from ..machines.pairwise_launch import ROWS, Ready, columns_of, ready, splits_of
from ..machines.pairwise_tiles import PairTile, with_tile

# Greater than any index.
_NONE = tl.constexpr(2**31 - 1)


@triton.jit(do_not_specialize=["each"])
def _hardest_kernel(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, unit_ptr,  # embeddings made ready, see distance_tile
    label_ptr,  # labels (B), int64
    positive_share_ptr,  # out (splits x B) int32: farthest positive, -1 where none
    farthest_share_ptr,  # out (splits x B) float32: its squared distance, -inf where none
    negative_share_ptr,  # out (splits x B) int32: nearest negative, -1 where none
    nearest_share_ptr,  # out (splits x B) float32: its squared distance, inf where none
    B, D, x_stride, moved_stride, each,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(B, M)
    split = tl.program_id(0) // across
    row_M = (tl.program_id(0) % across) * M + tl.arange(0, M)
    mask_M = row_M < B
    label_M = tl.load(label_ptr + row_M, mask=mask_M, other=-1)

    farthest_M = tl.full((M,), -float("inf"), tl.float32)
    nearest_M = tl.full((M,), float("inf"), tl.float32)
    positive_M = tl.full((M,), -1, tl.int32)
    negative_M = tl.full((M,), -1, tl.int32)
    spoilt_N = tl.zeros((N,), tl.float32)
    last = tl.minimum((split + 1) * each, tl.cdiv(B, N))
    for block in range(split * each, last):
        column_N = block * N + tl.arange(0, N)
        mask_N = column_N < B
        squared_MN, _ = distance_tile(
            x_ptr, moved_ptr, rest_ptr, norm_ptr, unit_ptr, x_stride, moved_stride,
            row_M, mask_M, column_N, mask_N, D, M, N, K, PRECISION,
        )  # fmt: skip
        # Loaded this late so that they hold no registers during the products.
        label_N = tl.load(label_ptr + column_N, mask=mask_N, other=-1)
        spoilt_N += 0.0 * tl.load(norm_ptr + column_N, mask=mask_N, other=0.0)
        same_MN = label_M[:, None] == label_N[None, :]
        itself_MN = row_M[:, None] == column_N[None, :]

        is_positive_MN = same_MN & mask_N[None, :] & (itself_MN == 0)
        candidate_MN = tl.where(is_positive_MN, squared_MN, -float("inf"))
        best_M = tl.max(candidate_MN, axis=1)
        first_MN = is_positive_MN & (candidate_MN == best_M[:, None])
        index_M = tl.min(tl.where(first_MN, column_N[None, :], _NONE), axis=1)
        positive_M = tl.where(best_M > farthest_M, index_M, positive_M)
        farthest_M = tl.where(best_M > farthest_M, best_M, farthest_M)

        is_negative_MN = (same_MN == 0) & mask_N[None, :]
        candidate_MN = tl.where(is_negative_MN, squared_MN, float("inf"))
        best_M = tl.min(candidate_MN, axis=1)
        first_MN = is_negative_MN & (candidate_MN == best_M[:, None])
        index_M = tl.min(tl.where(first_MN, column_N[None, :], _NONE), axis=1)
        negative_M = tl.where(best_M < nearest_M, index_M, negative_M)
        nearest_M = tl.where(best_M < nearest_M, best_M, nearest_M)

    # 0 or NaN, which the distances carry to the terms.
    spoilt = tl.sum(spoilt_N, axis=0)
    out_M = split.to(tl.int64) * B + row_M
    tl.store(positive_share_ptr + out_M, positive_M, mask=mask_M)
    tl.store(farthest_share_ptr + out_M, farthest_M + spoilt, mask=mask_M)
    tl.store(negative_share_ptr + out_M, negative_M, mask=mask_M)
    tl.store(nearest_share_ptr + out_M, nearest_M + spoilt, mask=mask_M)


@triton.jit(do_not_specialize=["splits"])
def _terms_kernel(
    x_ptr,  # embeddings (B x D), row stride x_stride
    positive_share_ptr, farthest_share_ptr,  # (splits x B): what _hardest_kernel wrote
    negative_share_ptr, nearest_share_ptr,
    term_ptr,  # out (B) float32: the hinge, 0 where a positive or a negative is missing
    positive_ptr,  # out (B) int64: farthest positive, -1 where none
    negative_ptr,  # out (B) int64: nearest negative, -1 where none
    B, D, x_stride, splits, margin, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    row_M = tl.program_id(0) * M + tl.arange(0, M)
    mask_M = row_M < B

    farthest_M = tl.full((M,), -float("inf"), tl.float32)
    nearest_M = tl.full((M,), float("inf"), tl.float32)
    positive_M = tl.full((M,), -1, tl.int32)
    negative_M = tl.full((M,), -1, tl.int32)
    spoilt_M = tl.zeros((M,), tl.float32)
    share_M = row_M.to(tl.int64)
    for _ in range(splits):
        far_M = tl.load(farthest_share_ptr + share_M, mask=mask_M, other=0.0)
        near_M = tl.load(nearest_share_ptr + share_M, mask=mask_M, other=0.0)
        far_index_M = tl.load(positive_share_ptr + share_M, mask=mask_M, other=-1)
        near_index_M = tl.load(negative_share_ptr + share_M, mask=mask_M, other=-1)
        spoilt_M = tl.where((far_M != far_M) | (near_M != near_M), float("nan"), spoilt_M)
        positive_M = tl.where(far_M > farthest_M, far_index_M, positive_M)
        farthest_M = tl.where(far_M > farthest_M, far_M, farthest_M)
        negative_M = tl.where(near_M < nearest_M, near_index_M, negative_M)
        nearest_M = tl.where(near_M < nearest_M, near_M, nearest_M)
        share_M += B  # in 64 bits: the product of a split and B could pass 2^31

    some_M = mask_M & (positive_M >= 0) & (negative_M >= 0)
    anchor_M = row_pointers(x_ptr, row_M, x_stride)
    to_positive_M = row_pointers(x_ptr, positive_M, x_stride)
    to_negative_M = row_pointers(x_ptr, negative_M, x_stride)
    near_M = distances_of_pairs(anchor_M, to_positive_M, some_M, D, M, K)
    far_M = distances_of_pairs(anchor_M, to_negative_M, some_M, D, M, K)
    hinge_M = near_M - far_M + margin
    term_M = tl.where(some_M & (hinge_M > 0.0), hinge_M, 0.0) + spoilt_M
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
    squared_2SB = torch.empty(2, splits, batch, dtype=torch.float32, device=labels.device)
    shares = {
        "positive_share_ptr": index_2SB[0], "farthest_share_ptr": squared_2SB[0],
        "negative_share_ptr": index_2SB[1], "nearest_share_ptr": squared_2SB[1],
    }  # fmt: skip
    launch(
        _hardest_kernel, across * splits,
        **these.arguments, label_ptr=labels, **shares, each=each, **tile.options(these.x_BD),
    )  # fmt: skip
    terms_B, positive_B, negative_B = outputs = _hard_shape(these.x_BD, labels, margin)
    launch(
        _terms_kernel, blocks(batch, ROWS),
        x_ptr=these.x_BD, **shares,
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
