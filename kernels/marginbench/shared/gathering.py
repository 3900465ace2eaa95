"""Gathers the rows of all ranks of a torch.distributed run, for state that all must share."""

from __future__ import annotations

import torch
from torch import Tensor


def of_all_ranks(rows_BD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and labels of every rank, in the order of the ranks; a rank may have none. Without
    torch.distributed, or with one rank, they come back as they are. Every rank has to call it."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows_BD, labels_B
    ranks = distributed.get_world_size()
    if ranks == 1:
        return rows_BD, labels_B
    count = torch.tensor([len(rows_BD)], device=rows_BD.device)
    counts = [torch.empty_like(count) for _ in range(ranks)]
    distributed.all_gather(counts, count)
    sizes = [int(one) for one in counts]
    longest = max(sizes)
    rows_LD = _padded(rows_BD.contiguous(), longest)
    labels_L = _padded(labels_B.contiguous(), longest)
    all_rows = [torch.empty_like(rows_LD) for _ in range(ranks)]
    all_labels = [torch.empty_like(labels_L) for _ in range(ranks)]
    distributed.all_gather(all_rows, rows_LD)
    distributed.all_gather(all_labels, labels_L)
    return (
        torch.cat([rows[:size] for rows, size in zip(all_rows, sizes, strict=True)]),
        torch.cat([labels[:size] for labels, size in zip(all_labels, sizes, strict=True)]),
    )


def _padded(rows: Tensor, length: int) -> Tensor:
    whole = rows.new_zeros(length, *rows.shape[1:])
    whole[: len(rows)] = rows
    return whole
