"""Squared Euclidean distances of all pairs, block by block, and the gradient of what uses them.

Legend: x_BD embeddings; R rows of a block against all B; d2_RB squared distances.

Two things make the Gram form, ||x_i||^2 + ||x_j||^2 - 2 x_i . x_j, as good as the differences.
The batch is centred, so that an offset common to all does not drown the distances; and pairs
nearer than `CLOSE` times the sum of their squared norms are computed again from the difference, so
that duplicates are at distance 0 exactly. What remains is off by at most a few eps / CLOSE.
float64 inputs ask for precision, not for speed: all their pairs come from the differences.

Blocks keep the temporaries in cache on the CPU and bound them on a GPU, and a block's memory serves
the next one: B x B is never held whole beyond B = 1024.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .reduction import wide

CLOSE = 1 / 64
# Elements of a block of R x B: on the CPU the 4 MiB of a float32 block, a few of which a last-level
# cache holds (measured at B = 1024 to 4096: smaller ones make the products of a block inefficient).
_BLOCK_CPU = 2**20
_BLOCK_CUDA = 2**26
# Elements of a temporary of differences (pairs x D).
_DIFFERENCES = 2**18
# Where shapes must not depend on data, this many close pairs a row, on average, are made exact.
_STATIC_CLOSE = 8
# Of the squared norms: below this, no digit of a float32 product form is right (its error grows
# like sqrt(D) eps / 2, D up to thousands).
_ROUNDING = 32 * torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Points:
    """Embeddings made ready: x_BD as they are, in at least float32; centred_BD moved to their
    common centre; norms_B the squared norms of those. ``memory`` holds S blocks (S x R x B)."""

    x_BD: Tensor
    centred_BD: Tensor
    norms_B: Tensor
    memory: Tensor

    def block(self, slot: int, rows: slice) -> Tensor:
        """Memory for R x B values, the same for each block of rows. Slot 0 is that of d2."""
        return self.memory[slot, : rows.stop - rows.start]


def points(embeddings: Tensor, slots: int = 1) -> Points:
    """Embeddings (B x D, any float dtype), in float64 if they are and in float32 otherwise, with
    memory for ``slots`` blocks.

    The blocks are one allocation on purpose. glibc gives memory back to the system when more than
    twice the largest allocation is free, and fresh memory costs a page fault per 4 KiB, more than
    a pass over it: one large block is kept from call to call, several small ones are not.
    """
    x_BD = wide(embeddings)
    centred_BD = x_BD - _centre(x_BD)
    norms_B = torch.linalg.vecdot(centred_BD, centred_BD)
    count = len(embeddings)
    memory = x_BD.new_empty(slots, _rows_of_a_block(count, embeddings), count)
    return Points(x_BD, centred_BD, norms_B, memory)


def _centre(x_BD: Tensor) -> Tensor:
    """The mean (D), rounded to a multiple of a power of two near max |x| / 64.

    So rounded it moves points of a coarse grid without rounding them: equal distances stay equal,
    and the lowest index wins among them.
    """
    lowest, highest = x_BD.aminmax()
    exponent = torch.frexp(torch.maximum(-lowest, highest)).exponent - 7
    # Through ldexp twice: 2^exponent alone could leave the range.
    return torch.ldexp(torch.ldexp(x_BD.mean(dim=0), -exponent).round_(), exponent)


def static_shapes(tensor: Tensor) -> bool:
    """Whether shapes must not depend on data: while compiling, and on a GPU, where looking at
    data waits for it."""
    return torch.compiler.is_compiling() or tensor.device.type != "cpu"


def _rows_of_a_block(count: int, like: Tensor) -> int:
    # One block while compiling: the compiler fuses instead.
    if torch.compiler.is_compiling():
        return count
    elements = _BLOCK_CPU if like.device.type == "cpu" else _BLOCK_CUDA
    return min(max(elements // count, 16), count)


def blocks(count: int, like: Tensor) -> Iterator[slice]:
    """Slices over the anchors, all of one length but for the last."""
    rows = _rows_of_a_block(count, like)
    for start in range(0, count, rows):
        yield slice(start, min(start + rows, count))


@dataclass(frozen=True)
class Close:
    """Close pairs of a block: row (K, in the block), column (K), and which of the K are real
    (None: all)."""

    row: Tensor
    column: Tensor
    real: Tensor | None


def squared_distances(these: Points, rows: slice) -> tuple[Tensor, Close | None]:
    """d2 (R x B) of a block of rows to all, 0 on the diagonal, and its close pairs if it has any.

    The caller may overwrite the result; the next block does.
    """
    if these.x_BD.dtype == torch.float64:
        return _from_differences(these.x_BD[rows], these.x_BD), None
    centred_RD, norms_R = these.centred_BD[rows], these.norms_B[rows, None]
    d2_RB = these.block(0, rows)
    torch.addmm(these.norms_B, centred_RD, these.centred_BD.T, alpha=-2, out=d2_RB)
    d2_RB.add_(norms_R)
    own_R = d2_RB[:, rows].diagonal()
    find = _close_static if static_shapes(d2_RB) else _close_pairs
    own_R.fill_(torch.finfo(d2_RB.dtype).max)
    close = find(d2_RB, these.norms_B, norms_R)
    own_R.zero_()
    if close is not None:
        _make_exact(d2_RB, these.x_BD, rows, close)
    return d2_RB, close


def _close_pairs(d2_RB: Tensor, norms_B: Tensor, norms_R1: Tensor) -> Close | None:
    # Most batches have none: the nearest neighbour of each row says so in one pass.
    suspects = torch.nonzero(d2_RB.amin(dim=1) <= CLOSE * (norms_R1[:, 0] + norms_B.amax()))[:, 0]
    if len(suspects) == 0:
        return None
    close = d2_RB[suspects] <= CLOSE * (norms_R1[suspects] + norms_B)
    row, column = torch.nonzero(close, as_tuple=True)
    return Close(suspects[row], column, None) if len(row) else None


def _close_static(d2_RB: Tensor, norms_B: Tensor, norms_R1: Tensor) -> Close:
    scale_RB = norms_R1 + norms_B
    size = min(_STATIC_CLOSE * max(d2_RB.shape), d2_RB.numel())
    found_K2 = torch.nonzero_static(d2_RB <= CLOSE * scale_RB, size=size, fill_value=-1)
    # Those beyond the number stay as they are, but for those that are nothing but rounding.
    d2_RB.masked_fill_(d2_RB <= _ROUNDING * scale_RB, 0)
    row, column = found_K2.clamp(min=0).unbind(dim=1)
    return Close(row, column, found_K2[:, 0] >= 0)


def _make_exact(d2_RB: Tensor, x_BD: Tensor, rows: slice, close: Close) -> None:
    """Replaces the close pairs' entries by the squared length of their difference."""
    if close.real is None and len(close.row) > d2_RB.numel() // 8:
        exact_RB = _from_differences(x_BD[rows], x_BD)
        d2_RB[close.row, close.column] = exact_RB[close.row, close.column]
        return
    for part in _portions(close, x_BD):
        row, column = close.row[part], close.column[part]
        difference_KD = x_BD[rows.start + row] - x_BD[column]
        d2_RB[row, column] = torch.linalg.vecdot(difference_KD, difference_KD)


def _portions(close: Close, x_BD: Tensor) -> Iterator[slice]:
    """Slices over the close pairs, so that their differences are a small temporary."""
    count = len(close.row)
    if close.real is not None:
        yield slice(0, count)
        return
    step = max(_DIFFERENCES // x_BD.shape[1], 1)
    for start in range(0, count, step):
        yield slice(start, start + step)


def _from_differences(x_RD: Tensor, x_BD: Tensor) -> Tensor:
    """||x_i - x_j||^2 (R x B) without a product of x_i and x_j; O(R B D) time, little memory."""
    if torch.compiler.is_compiling():
        return (x_RD[:, None] - x_BD).square().sum(dim=2)
    d2_RB = x_RD.new_empty(len(x_RD), len(x_BD))
    step = max(_DIFFERENCES // x_BD.numel(), 1)
    for start in range(0, len(x_RD), step):
        difference = x_RD[start : start + step, None] - x_BD
        torch.sum(difference.square_(), dim=2, out=d2_RB[start : start + step])
    return d2_RB


def add_gradient(
    gradient_BD: Tensor, slope_RB: Tensor, these: Points, rows: slice, spare_RB: Tensor
) -> None:
    """Adds to gradient_BD what the slopes of a block's triplets, dL/d(d2), give.

    Each triplet adds as much to one entry of a row of slopes as it takes from another: rows sum to
    zero, so that in d(d2_ij)/dx_i = 2 (x_i - x_j) = -d(d2_ij)/dx_j the anchor's x_i drops out.
    ``spare_RB`` is overwritten.
    """
    x_BD = these.centred_BD
    gradient_BD.addcmul_(slope_RB.sum(dim=0)[:, None], x_BD, value=2)
    if len(slope_RB) == len(x_BD):
        # The whole batch: (slope + slope^T) x is one product, and a transposed copy is cheap.
        both_BB = spare_RB.copy_(slope_RB.T).add_(slope_RB)
        gradient_BD.addmm_(both_BB, x_BD, alpha=-2)
        return
    gradient_BD[rows].addmm_(slope_RB, x_BD, alpha=-2)
    gradient_BD.addmm_(slope_RB.T, x_BD[rows], alpha=-2)


def symmetric_gradient(slope_RB: Tensor, these: Points, rows: slice, close: Close | None) -> Tensor:
    """sum_j slope_ij (x_i - x_j) for the rows i of a block (R x D).

    That is half the gradient of a function of d2 whose slopes are the same for (i, j) and (j, i).
    Slopes may grow like one over the distance: where it is small, a product of slopes with
    embeddings would lose the difference, so close pairs are added one by one. ``slope_RB`` is
    overwritten.
    """
    slope_K = None if close is None else _take_out(slope_RB, close)
    total_R1 = slope_RB.sum(dim=1, keepdim=True)
    x_BD, x_RD = these.centred_BD, these.centred_BD[rows]
    gradient_RD = torch.addmm(total_R1 * x_RD, slope_RB, x_BD, alpha=-1)
    if close is not None and slope_K is not None:
        for part in _portions(close, x_BD):
            row, column = close.row[part], close.column[part]
            difference_KD = these.x_BD[rows.start + row] - these.x_BD[column]
            gradient_RD.index_add_(0, row, difference_KD.mul_(slope_K[part, None]))
    return gradient_RD


def _take_out(slope_RB: Tensor, close: Close) -> Tensor:
    """The slopes of the close pairs (K), which are zero in ``slope_RB`` afterwards."""
    at = (close.row, close.column)
    slope_K = slope_RB[at]
    if close.real is None:
        slope_RB[at] = 0.0
        return slope_K
    # Entries that are not real point at one that may well count.
    slope_K = torch.where(close.real, slope_K, 0.0)
    slope_RB.index_put_(at, -slope_K, accumulate=True)
    return slope_K
