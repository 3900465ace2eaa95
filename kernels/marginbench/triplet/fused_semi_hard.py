"""Triplet loss, semi-hard negatives: the kernels. B x B is never stored.

A program takes M anchors, neighbours in the batch sorted by label, and a few of their positives at
a time (slots). It makes the distances to those, and then goes through all columns for the nearest
negative beyond each of them and the farthest negative. Which those are is decided as by the
definition, whatever the rounding of distances (`pairwise_choice`): a negative as far as the
positive is not beyond it, and ties go to the lowest index of the batch.

Forward keeps nothing but the terms. Backward mines again, into one index for each of the T pairs
of an anchor and a positive, and sums the differences of the active triplets
(`gradient_of_list`); it waits for the device once, to learn T.

Time O(B^2 D P / slots + B^2 P) for P positives an anchor, forward and again backward, plus
O(T D + T log T) backward; memory O(B), backward O(B + T). A NaN or an infinity in any row makes
every term NaN.

Legend: B batch, D dimension; M rows and N columns of a tile, K a chunk of D, S slots.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..shared.launching import blocks, launch
from ..shared.operators import differentiable, operator
from ..shared.pairwise import distance_tile, distances_of_pairs, row_pointers, scales
from ..shared.pairwise_choice import NONE, rounding, settle, take_least
from ..shared.pairwise_gradient import gradient_of_list
from ..shared.pairwise_launch import Ready, ready
from ..shared.pairwise_tiles import PairTile, with_tile
from .fused_groups import Groups, first_pairs, groups_of, positive_pairs
from .fused_hinge import gaps_of_triplets, hinges

# Columns of D whose gaps are made at a time, three float64 each: few, as a tile has many rows.
_COLUMNS = tl.constexpr(16)


@triton.jit
def _nth_positive(order_ptr, begin_M, place_M, nth, mask_M):
    """The nth positive of each anchor: the anchor itself is left out."""
    positive_M = begin_M + nth
    positive_M += (positive_M >= place_M).to(tl.int32)
    return tl.load(order_ptr + positive_M, mask=mask_M, other=0)


@triton.jit
def _of_slot(of_MS, slot, S: tl.constexpr):
    """A slot's column."""
    return tl.sum(tl.where(tl.arange(0, S)[None, :] == slot, of_MS, 0), axis=1)


@triton.jit
def _into_slot(of_MS, slot, of_M, S: tl.constexpr):
    """The same with another column in a slot."""
    return tl.where(tl.arange(0, S)[None, :] == slot, of_M[:, None], of_MS)


@triton.jit
def _window(near_MS, slot, pair_M, norm_M, lowest, highest, D, S: tl.constexpr):
    """From which distance on a negative may be beyond a slot's positive, infinity where it has
    none, and up to which one rounding may make it seem so."""
    near_M = _of_slot(near_MS, slot, S)
    doubtful_M = rounding(near_M, norm_M, lowest, highest, D)
    low_M = tl.where(pair_M, near_M - doubtful_M, float("inf"))
    return tl.maximum(low_M, 0.0), near_M + doubtful_M


@triton.jit
def _semi_hard_kernel(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr,  # embeddings made ready, see distance_tile
    lowest_ptr, highest_ptr,  # the least and the greatest norm, a float32 each
    order_ptr,  # (B) int32: indices sorted by label
    begin_ptr,  # (B) int32: where the group of a sample begins in order
    end_ptr,  # (B) int32: where it ends
    first_ptr,  # (B) int64: where the pairs of a sample begin in chosen
    term_ptr,  # out (B) float32: sum of an anchor's hinges; not written if CHOOSE
    chosen_ptr,  # out (T) int32 if CHOOSE: the negative of each pair
    B, D, x_stride, moved_stride, margin,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, S: tl.constexpr,
    CHOOSE: tl.constexpr, MARGIN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """With ``MARGIN``, hinges count: they are summed, from the differences, and a pair whose hinge
    is 0 has no negative (-1)."""
    place_M = tl.program_id(0) * M + tl.arange(0, M)
    mask_M = place_M < B
    row_M = tl.load(order_ptr + place_M, mask=mask_M, other=0)
    begin_M = tl.load(begin_ptr + row_M, mask=mask_M, other=B)
    end_M = tl.load(end_ptr + row_M, mask=mask_M, other=0)
    first_M = tl.load(first_ptr + row_M, mask=mask_M, other=0)
    positives_M = tl.where(mask_M & (end_M - begin_M < B), end_M - begin_M - 1, 0)
    norm_M = tl.load(norm_ptr + row_M, mask=mask_M, other=0.0)
    lowest, highest = tl.load(lowest_ptr), tl.load(highest_ptr)
    # 0, or NaN where any row has one.
    spoilt = 0.0 * highest
    scale, _inverse = scales(units_ptr)
    anchor_M = row_pointers(x_ptr, row_M, x_stride)
    no_bar_M = tl.full((M,), -float("inf"), tl.float32)

    sum_M = tl.zeros((M,), tl.float32)
    for nth in range(0, tl.max(positives_M, axis=0), S):
        near_MS = tl.zeros((M, S), tl.float32)
        for slot in range(S):
            pair_M = nth + slot < positives_M
            positive_M = _nth_positive(order_ptr, begin_M, place_M, nth + slot, pair_M)
            positive_M = row_pointers(x_ptr, positive_M, x_stride)
            near_M = distances_of_pairs(anchor_M, positive_M, pair_M, scale, D, M, K)
            near_MS = _into_slot(near_MS, slot, near_M, S)

        beyond_MS = tl.full((M, S), float("inf"), tl.float32)
        beyond_index_MS = tl.full((M, S), NONE, tl.int32)
        # Minus the distance: the least is the farthest.
        farthest_M = tl.full((M,), float("inf"), tl.float32)
        farthest_index_M = tl.full((M,), NONE, tl.int32)
        for start in range(0, B, N):
            column_N = start + tl.arange(0, N)
            mask_N = column_N < B
            index_N = tl.load(order_ptr + column_N, mask=mask_N, other=0)
            squared_MN, _ = distance_tile(
                x_ptr, moved_ptr, rest_ptr, norm_ptr, units_ptr, x_stride, moved_stride,
                row_M, mask_M, index_N, mask_N, D, M, N, K, PRECISION,
            )  # fmt: skip
            same_MN = (column_N[None, :] >= begin_M[:, None]) & (column_N[None, :] < end_M[:, None])
            negative_MN = (same_MN == 0) & mask_N[None, :] & (positives_M > 0)[:, None]
            squared_MN = tl.where(negative_MN, squared_MN, -1.0)

            farthest_M, farthest_index_M, doubt_M = take_least(
                farthest_M, farthest_index_M,
                tl.where(squared_MN >= 0.0, -squared_MN, float("inf")),
                index_N, no_bar_M, norm_M, lowest, highest, D,
            )  # fmt: skip
            for slot in tl.static_range(S):
                pair_M = nth + slot < positives_M
                low_M, bar_M = _window(near_MS, slot, pair_M, norm_M, lowest, highest, D, S)
                beyond_M, index_M, again_M = take_least(
                    _of_slot(beyond_MS, slot, S), _of_slot(beyond_index_MS, slot, S),
                    tl.where(squared_MN >= low_M[:, None], squared_MN, float("inf")),
                    index_N, bar_M, norm_M, lowest, highest, D,
                )  # fmt: skip
                beyond_MS = _into_slot(beyond_MS, slot, beyond_M, S)
                beyond_index_MS = _into_slot(beyond_index_MS, slot, index_M, S)
                doubt_M = doubt_M | again_M

            # The slots, and the farthest behind them.
            for slot in range(0, (S + 1) * tl.max(doubt_M.to(tl.int32), axis=0)):
                last = slot == S
                pair_M = nth + slot < positives_M
                low_M, bar_M = _window(near_MS, slot, pair_M, norm_M, lowest, highest, D, S)
                flip = tl.where(last, -1.0, 1.0)
                beyond_M, index_M = settle(
                    tl.where(last, farthest_M, _of_slot(beyond_MS, slot, S)),
                    tl.where(last, farthest_index_M, _of_slot(beyond_index_MS, slot, S)),
                    squared_MN, flip, tl.where(last, 0.0, low_M), float("inf"), index_N, flip,
                    tl.where(last, no_bar_M, bar_M),
                    _nth_positive(order_ptr, begin_M, place_M, nth + slot, pair_M),
                    x_ptr, x_stride, row_M, norm_M, lowest, highest, D, N,
                )  # fmt: skip
                farthest_M = tl.where(last, beyond_M, farthest_M)
                farthest_index_M = tl.where(last, index_M, farthest_index_M)
                beyond_MS = _into_slot(beyond_MS, slot, beyond_M, S)
                beyond_index_MS = _into_slot(beyond_index_MS, slot, index_M, S)

        for slot in range(S):
            pair_M = nth + slot < positives_M
            negative_M = _of_slot(beyond_index_MS, slot, S)
            negative_M = tl.where(negative_M != NONE, negative_M, farthest_index_M)
            # Where distances are NaN none was chosen.
            found_M = pair_M & (negative_M != NONE)
            negative_M = tl.where(found_M, negative_M, -1)
            if MARGIN:
                positive_M = _nth_positive(order_ptr, begin_M, place_M, nth + slot, pair_M)
                gap_M = gaps_of_triplets(
                    anchor_M, row_pointers(x_ptr, positive_M, x_stride),
                    row_pointers(x_ptr, negative_M, x_stride), found_M, D, _COLUMNS,
                )  # fmt: skip
                hinge_M = hinges(gap_M, margin) + spoilt
                sum_M += tl.where(pair_M, hinge_M, 0.0)
                negative_M = tl.where(hinge_M > 0.0, negative_M, -1)
            if CHOOSE:
                tl.store(chosen_ptr + first_M + nth + slot, negative_M, mask=pair_M)

    if not CHOOSE:
        tl.store(term_ptr + row_M, sum_M, mask=mask_M)


def _launch(
    these: Ready, groups: Groups, margin: float | None, *, terms: Tensor | None = None,
    chosen: Tensor | None = None,
) -> None:  # fmt: skip
    """Fill ``terms`` (B) or ``chosen`` (T), with a margin only by pairs whose hinge is above 0."""
    first, norms = first_pairs(groups), these.norm_range

    def mine(tile: PairTile) -> None:
        launch(
            _semi_hard_kernel, blocks(len(groups.order), tile.rows),
            **these.arguments, **norms, order_ptr=groups.order, begin_ptr=groups.begin,
            end_ptr=groups.end, first_ptr=first, term_ptr=terms, chosen_ptr=chosen, margin=margin,
            S=tile.slots, CHOOSE=chosen is not None, MARGIN=margin is not None,
            **tile.options(these.x_BD),
        )  # fmt: skip

    what = "terms" if chosen is None else "negatives" if margin is None else "gradient"
    with_tile("slots", f"semi-hard {what}", these.x_BD, mine)


def _terms_shape(embeddings: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    terms_B = embeddings.new_empty(embeddings.shape[0], dtype=torch.float32)
    return terms_B, torch.empty_like(terms_B, dtype=torch.int64)


@operator("triplet_semi_hard", fake=_terms_shape)
def semi_hard_terms(embeddings: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """The sum of each anchor's hinges (B, float32) and how many they are (B, int64)."""
    groups = groups_of(labels)
    terms_B = torch.empty(len(labels), dtype=torch.float32, device=labels.device)
    _launch(ready(embeddings), groups, margin, terms=terms_B)
    return terms_B, groups.pairs


def _negatives_shape(embeddings: Tensor, labels: Tensor, pairs: int) -> Tensor:
    return labels.new_empty(pairs)


@operator("triplet_mine_semi_hard", fake=_negatives_shape)
def semi_hard_negatives(embeddings: Tensor, labels: Tensor, pairs: int) -> Tensor:
    """The negative of each pair (T, int64), in the order of `positive_pairs`; ``pairs`` is T."""
    chosen_T = torch.empty(pairs, dtype=torch.int32, device=labels.device)
    _launch(ready(embeddings), groups_of(labels), None, chosen=chosen_T)
    return chosen_T.long()


def _gradient_shape(embeddings: Tensor, labels: Tensor, upstream: Tensor, margin: float) -> Tensor:
    return torch.empty_like(embeddings, memory_format=torch.contiguous_format)


@operator("triplet_semi_hard_gradient", fake=_gradient_shape)
def semi_hard_gradient(
    embeddings: Tensor, labels: Tensor, upstream: Tensor, margin: float
) -> Tensor:
    """Gradient by the embeddings (B x D, their dtype) for upstream gradients (B) of the terms."""
    these, groups = ready(embeddings), groups_of(labels)
    anchor, positive = positive_pairs(groups, int(groups.pairs.sum()))
    negative = torch.empty_like(anchor, dtype=torch.int32)
    _launch(these, groups, margin, chosen=negative)
    # The partners of an inactive triplet are the anchor itself: its difference is 0.
    active = negative >= 0
    positive, negative = positive.where(active, anchor), negative.long().where(active, anchor)
    # A NaN or an infinity anywhere is in the norms: it spoils the gradient as it does the terms.
    slope_T = 2 * upstream[anchor] + 0 * these.norm_B.sum()
    return gradient_of_list(
        these.x_BD,
        row=torch.cat((anchor, anchor, positive, negative)),
        other=torch.cat((positive, negative, anchor, anchor)),
        coefficient=torch.cat((slope_T, -slope_T, slope_T, -slope_T)),
    )


def _save(ctx, inputs, output) -> None:
    embeddings, labels, margin = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(embeddings, labels)
    ctx.margin = margin


def _backward(ctx, upstream, _):
    return semi_hard_gradient(*ctx.saved_tensors, upstream, ctx.margin), None, None


differentiable(semi_hard_terms, backward=_backward, save=_save)
