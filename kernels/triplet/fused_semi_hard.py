"""Triplet loss, semi-hard negatives: the kernels. B x B is never stored.

A program takes M anchors, neighbours in the batch sorted by label, and a few of their positives at
a time (slots). It makes the distances to their own group, keeps those to the positives, and then
goes through all columns for the nearest negative beyond each of them and the farthest negative.
Distances to positives and negatives come out of the same arithmetic, so that equal ones compare as
equal. Of equal candidates the lowest index of the batch wins.

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

from ..machines.launching import blocks, launch
from ..machines.operators import differentiable, operator
from ..machines.pairwise import distance_tile, distances_of_pairs, row_pointers
from ..machines.pairwise_gradient import gradient_of_list
from ..machines.pairwise_launch import Ready, ready
from ..machines.pairwise_tiles import PairTile, with_tile
from .fused_groups import Groups, first_pairs, groups_of, positive_pairs

# Greater than any index.
_NONE = tl.constexpr(2**31 - 1)


@triton.jit
def _place_of_positive(begin_M, place_M, nth):
    """Where the nth positive stands in the order by label: the anchor itself is left out."""
    positive_M = begin_M + nth
    return positive_M + (positive_M >= place_M).to(tl.int32)


@triton.jit
def _first_index(chosen_MN, index_N):
    """The lowest index among those chosen in each row, _NONE where none is."""
    return tl.min(tl.where(chosen_MN, index_N[None, :], _NONE), axis=1)


@triton.jit
def _semi_hard_kernel(
    x_ptr, moved_ptr, rest_ptr, norm_ptr, unit_ptr,  # embeddings made ready, see distance_tile
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
    group_begin = tl.min(begin_M, axis=0)
    group_end = tl.max(end_M, axis=0)
    slot_S = tl.arange(0, S)

    sum_M = tl.zeros((M,), tl.float32)
    for nth in range(0, tl.max(positives_M, axis=0), S):
        near_MS = tl.zeros((M, S), tl.float32)
        for start in range(group_begin, group_end, N):
            column_N = start + tl.arange(0, N)
            mask_N = column_N < group_end
            index_N = tl.load(order_ptr + column_N, mask=mask_N, other=0)
            squared_MN, _ = distance_tile(
                x_ptr, moved_ptr, rest_ptr, norm_ptr, unit_ptr, x_stride, moved_stride,
                row_M, mask_M, index_N, mask_N, D, M, N, K, PRECISION,
            )  # fmt: skip
            for slot in tl.static_range(S):
                positive_M = _place_of_positive(begin_M, place_M, nth + slot)
                here_MN = column_N[None, :] == positive_M[:, None]
                near_M = tl.sum(tl.where(here_MN, squared_MN, 0.0), axis=1)
                near_MS += tl.where(slot_S[None, :] == slot, near_M[:, None], 0.0)

        beyond_MS = tl.full((M, S), float("inf"), tl.float32)
        beyond_index_MS = tl.full((M, S), _NONE, tl.int32)
        farthest_M = tl.full((M,), -float("inf"), tl.float32)
        farthest_index_M = tl.full((M,), _NONE, tl.int32)
        spoilt_N = tl.zeros((N,), tl.float32)
        for start in range(0, B, N):
            column_N = start + tl.arange(0, N)
            mask_N = column_N < B
            index_N = tl.load(order_ptr + column_N, mask=mask_N, other=0)
            spoilt_N += 0.0 * tl.load(norm_ptr + index_N, mask=mask_N, other=0.0)
            squared_MN, _ = distance_tile(
                x_ptr, moved_ptr, rest_ptr, norm_ptr, unit_ptr, x_stride, moved_stride,
                row_M, mask_M, index_N, mask_N, D, M, N, K, PRECISION,
            )  # fmt: skip
            same_MN = (column_N[None, :] >= begin_M[:, None]) & (column_N[None, :] < end_M[:, None])
            negative_MN = (same_MN == 0) & mask_N[None, :]

            far_MN = tl.where(negative_MN, squared_MN, -float("inf"))
            far_M = tl.max(far_MN, axis=1)
            index_M = _first_index(negative_MN & (far_MN == far_M[:, None]), index_N)
            lower_M = tl.minimum(index_M, farthest_index_M)
            index_M = tl.where(far_M == farthest_M, lower_M, index_M)
            farthest_index_M = tl.where(far_M >= farthest_M, index_M, farthest_index_M)
            farthest_M = tl.maximum(far_M, farthest_M)

            for slot in tl.static_range(S):
                here_MS = slot_S[None, :] == slot
                near_M = tl.sum(tl.where(here_MS, near_MS, 0.0), axis=1)
                best_M = tl.min(tl.where(here_MS, beyond_MS, float("inf")), axis=1)
                best_index_M = tl.min(tl.where(here_MS, beyond_index_MS, _NONE), axis=1)
                candidate_MN = negative_MN & (squared_MN > near_M[:, None])
                value_MN = tl.where(candidate_MN, squared_MN, float("inf"))
                value_M = tl.min(value_MN, axis=1)
                index_M = _first_index(candidate_MN & (value_MN == value_M[:, None]), index_N)
                lower_M = tl.minimum(index_M, best_index_M)
                index_M = tl.where(value_M == best_M, lower_M, index_M)
                index_M = tl.where(value_M <= best_M, index_M, best_index_M)
                beyond_index_MS = tl.where(here_MS, index_M[:, None], beyond_index_MS)
                value_M = tl.minimum(value_M, best_M)
                beyond_MS = tl.where(here_MS, value_M[:, None], beyond_MS)

        some_MS = beyond_index_MS != _NONE
        index_MS = tl.where(some_MS, beyond_index_MS, farthest_index_M[:, None])
        # 0, or NaN where any row has one.
        spoilt = tl.sum(spoilt_N, axis=0)
        for slot in tl.static_range(S):
            pair_M = nth + slot < positives_M
            positive_M = _place_of_positive(begin_M, place_M, nth + slot)
            positive_M = tl.load(order_ptr + positive_M, mask=pair_M, other=0)
            negative_M = tl.min(tl.where(slot_S[None, :] == slot, index_MS, _NONE), axis=1)
            # Where distances are NaN none was chosen.
            found_M = pair_M & (negative_M != _NONE)
            negative_M = tl.where(found_M, negative_M, -1)
            if MARGIN:
                anchor_M = row_pointers(x_ptr, row_M, x_stride)
                to_positive_M = row_pointers(x_ptr, positive_M, x_stride)
                to_negative_M = row_pointers(x_ptr, negative_M, x_stride)
                near_M = distances_of_pairs(anchor_M, to_positive_M, found_M, D, M, K)
                far_M = distances_of_pairs(anchor_M, to_negative_M, found_M, D, M, K)
                hinge_M = near_M - far_M + margin + spoilt
                hinge_M = tl.where(hinge_M < 0.0, 0.0, hinge_M)
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
    first = first_pairs(groups)

    def mine(tile: PairTile) -> None:
        launch(
            _semi_hard_kernel, blocks(len(groups.order), tile.rows),
            **these.arguments, order_ptr=groups.order, begin_ptr=groups.begin,
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
