"""The samples that share each label, without a B x B mask: the batch sorted by label.

All on the labels' device and without waiting for it, but `positive_pairs`, whose length depends on
the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """``order`` (B, int32): indices of the batch sorted by label, equal labels in rising order.
    The samples with the label of sample a are ``order[begin[a]:end[a]]`` (both B, int32)."""

    order: Tensor
    begin: Tensor
    end: Tensor

    @property
    def positives(self) -> Tensor:
        """How many positives each sample has (B, int64)."""
        return (self.end - self.begin).long() - 1

    @property
    def negatives(self) -> Tensor:
        """How many negatives each sample has (B, int64)."""
        return len(self.order) - (self.end - self.begin).long()

    @property
    def pairs(self) -> Tensor:
        """How many positives each sample has, 0 if it has no negative (B, int64)."""
        return self.positives * (self.negatives > 0)


def groups_of(labels: Tensor) -> Groups:
    labels = labels.contiguous()
    in_order, order = torch.sort(labels, stable=True)
    begin = torch.searchsorted(in_order, labels, out_int32=True)
    end = torch.searchsorted(in_order, labels, out_int32=True, right=True)
    return Groups(order.int(), begin, end)


def positive_pairs(groups: Groups, total: int) -> tuple[Tensor, Tensor]:
    """All pairs (a, p) whose anchor has a negative, in row-major order: two tensors (T, int64).

    ``total`` is T, the sum of ``groups.pairs``.
    """
    count_B = groups.pairs
    sample_B = torch.arange(len(count_B), device=count_B.device)
    anchor_T = torch.repeat_interleave(sample_B, count_B, output_size=total)
    nth_T = torch.arange(total, device=count_B.device) - first_pairs(groups)[anchor_T]
    place_B = torch.empty_like(sample_B)
    place_B[groups.order.long()] = sample_B
    place_T = groups.begin.long()[anchor_T] + nth_T
    # An anchor is not its own positive: those behind it move up by one.
    place_T += place_T >= place_B[anchor_T]
    return anchor_T, groups.order.long()[place_T]


def first_pairs(groups: Groups) -> Tensor:
    """Where each sample's pairs begin in the list of all pairs (B, int64)."""
    return groups.pairs.cumsum(0) - groups.pairs
