"""Squared Euclidean distances of all pairs, block by block.

Legend: x_BD embeddings; R rows of a block against all B (or the columns asked for); d2_RB squared
distances.

There are three ways, and `points` takes the first that is right:

- float32 on a CPU: the Gram form, ||x_i||^2 + ||x_j||^2 - 2 x_i . x_j. The batch is centred, so
  that an offset common to all does not drown the distances; pairs nearer than `CLOSE` times the sum
  of their squared norms are recomputed from the difference, so that duplicates are at distance
  0 exactly. What remains is off by at most a few eps / CLOSE, and by `Points.rounding` times the
  squared norms: comparisons that this leaves open are decided by `shared.exact`.
- Static shapes (on a GPU and under torch.compile): which pairs are close must not matter, so
  products in float64 of embeddings cut in two parts (`shared.split_products`). The same where torch
  may round the factors of float32 products ("medium").
- float64 inputs ask for precision, not for speed: all their pairs come from the differences. So do
  float32 embeddings on a CPU whose squares would leave float32's range.

Blocks keep the temporaries in cache on the CPU and bound them on a GPU, and a block's memory serves
the next one: B x B is never held whole beyond B = 1024.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import frexp

import torch
from torch import Tensor

from .reduction import wide
from .split_products import Split, power_of_two, split

CLOSE = 1 / 64
# Elements of a block of R x B: on the CPU the 4 MiB of a float32 block, a few of which a last-level
# cache holds (measured at B = 1024 to 4096: smaller ones make the products of a block inefficient).
_BLOCK_CPU = 2**20
# 256 MiB: blocks on a GPU are float64.
_BLOCK_CUDA = 2**25
# Elements of a temporary of differences (pairs x D).
_DIFFERENCES = 2**18
# Squared norms of centred embeddings that float32 takes: sums of 2^60 products stay in its range,
# and what is 2^-60 times as large does too.
_SHORTEST, _LONGEST = 2.0**-60, 2.0**60


@dataclass(frozen=True)
class Points:
    """Embeddings made ready: x_BD as they are, in at least float32; centred_BD moved to their
    common centre; norms_B the squared norms of those. ``memory`` holds blocks (S x R x columns).

    ``rounding``: how far d2_ij may be off, over the sum of the squared norms of i and j; 0 where
    comparisons of distances are the reference's. ``longest``: the largest squared norm.
    """

    x_BD: Tensor
    centred_BD: Tensor
    norms_B: Tensor
    memory: Tensor
    columns: slice
    rounding: float = 0.0
    longest: float = 0.0
    parts: Split | None = None

    @property
    def dim(self) -> int:
        return self.x_BD.shape[1]

    def block(self, slot: int, rows: slice) -> Tensor:
        """Memory for R x B values, the same for each block of rows. Slot 0 is that of d2."""
        return self.memory[slot, : rows.stop - rows.start]


def points(
    embeddings: Tensor, slots: int = 1, rows: int | None = None, columns: slice | None = None
) -> Points:
    """Embeddings (B x D, any float dtype) with memory for ``slots`` blocks of ``rows`` (None: as
    `blocks` cuts them), whose distances are those to ``columns`` (None: all; else no anchors).

    The blocks are one allocation on purpose. glibc gives memory back to the system when more than
    twice the largest allocation is free, and fresh memory costs a page fault per 4 KiB, more than
    a pass over it: one large block is kept from call to call, several small ones are not.
    """
    # Row by row in memory: sums over D in another order would part equal distances.
    x_BD = wide(embeddings).contiguous()
    count, dim = x_BD.shape
    cut = x_BD.dtype == torch.float32 and (static_shapes(x_BD) or _products_are_rounded())
    if cut:
        x_BD = x_BD.double()
    centred_BD = x_BD - centre(x_BD)
    norms_B = torch.linalg.vecdot(centred_BD, centred_BD)
    rounding = longest = 0.0
    if x_BD.dtype == torch.float32:
        longest = float(norms_B.amax())
        if not _SHORTEST <= longest <= _LONGEST and bool(centred_BD.any()):
            return points(x_BD.double(), slots, rows, columns)
        # Of a sum that grows steadily to the whole, D roundings by half an ulp at most are as good
        # as D / 2 of the whole, and half of that where they are not all the largest there can be;
        # ten more for centring, for sums of several parts and for adding the three up.
        rounding = (dim / 4 + 10) * torch.finfo(torch.float32).eps / 2
    columns = slice(0, count) if columns is None else columns
    rows = _rows_of_a_block(count, embeddings) if rows is None else rows
    memory = x_BD.new_empty(slots + cut, rows, columns.stop - columns.start)
    parts = split(centred_BD) if cut else None
    return Points(x_BD, centred_BD, norms_B, memory, columns, rounding, longest, parts)


def centre(x_BD: Tensor, bits: int = 6) -> Tensor:
    """The mean (D), rounded to a multiple of a power of two near max |x| / 2^bits.

    So rounded it moves points of a coarse grid without rounding them: equal distances stay equal.
    """
    lowest, highest = x_BD.aminmax()
    if static_shapes(x_BD):
        step_1 = power_of_two(torch.frexp(torch.maximum(-lowest, highest)).exponent - bits - 1)
        return x_BD.mean(dim=0).div_(step_1).round_().mul_(step_1)
    step = 2.0 ** (frexp(max(-float(lowest), float(highest)))[1] - bits - 1)
    return x_BD.mean(dim=0).div_(step).round_().mul_(step)


def static_shapes(tensor: Tensor) -> bool:
    """Whether shapes must not depend on data: while compiling, and on a GPU, where reading
    data waits for it."""
    return torch.compiler.is_compiling() or tensor.device.type != "cpu"


def _products_are_rounded() -> bool:
    """Whether torch may round the factors of float32 products to bfloat16, on a CPU too."""
    return torch.get_float32_matmul_precision() == "medium"


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
class Pairs:
    """Some pairs of a block: row (K, in the block) and column (K)."""

    row: Tensor
    column: Tensor


def squared_distances(these: Points, rows: slice) -> tuple[Tensor, Pairs | None]:
    """d2 (R x B) of a block of rows to all columns, 0 on the diagonal, and its close pairs if it
    has any.

    The caller may overwrite the result; the next block does.
    """
    columns = these.columns
    d2_RB = these.block(0, rows)
    if these.parts is not None:
        return these.parts.squared_distances(rows, columns, d2_RB, these.block(-1, rows)), None
    if these.x_BD.dtype == torch.float64:
        return _from_differences(these.x_BD[rows], these.x_BD[columns]), None
    centred_RD, norms_R = these.centred_BD[rows], these.norms_B[rows, None]
    norms_B = these.norms_B[columns]
    torch.addmm(norms_B, centred_RD, these.centred_BD[columns].T, alpha=-2, out=d2_RB)
    d2_RB.add_(norms_R)
    # Anchors are among the columns, or else none of them is.
    own_R = d2_RB[:, rows].diagonal() if columns.start == 0 else d2_RB[0, :0]
    own_R.fill_(torch.finfo(d2_RB.dtype).max)
    close = _close_pairs(d2_RB, norms_R, norms_B, these.longest)
    own_R.zero_()
    if close is not None:
        _make_exact(d2_RB, these, rows, close)
    return d2_RB, close


def close_pairs(d2_RB: Tensor, these: Points, rows: slice) -> Pairs | None:
    """The close pairs among distances that came from the differences: for a caller who goes on with
    products of the embeddings."""
    if these.parts is not None or torch.compiler.is_compiling():
        return None
    own_R = d2_RB[:, rows].diagonal()
    own_R.fill_(torch.finfo(d2_RB.dtype).max)
    longest = float(these.norms_B.amax())
    close = _close_pairs(d2_RB, these.norms_B[rows, None], these.norms_B, longest)
    own_R.zero_()
    return close


def _close_pairs(d2_RB: Tensor, norms_R1: Tensor, norms_B: Tensor, longest: float) -> Pairs | None:
    # Most batches have none: the nearest neighbour of each row says so in one pass.
    suspects = torch.nonzero(d2_RB.amin(dim=1) <= CLOSE * (norms_R1[:, 0] + longest))[:, 0]
    if len(suspects) == 0:
        return None
    close = d2_RB[suspects] <= CLOSE * (norms_R1[suspects] + norms_B)
    row, column = torch.nonzero(close, as_tuple=True)
    return Pairs(suspects[row], column) if len(row) else None


def _make_exact(d2_RB: Tensor, these: Points, rows: slice, close: Pairs) -> None:
    """Replaces the close pairs' entries by the squared length of their difference."""
    if len(close.row) > d2_RB.numel() // 8:
        exact_RB = _from_differences(these.x_BD[rows], these.x_BD[these.columns])
        d2_RB[close.row, close.column] = exact_RB[close.row, close.column]
        return
    for part, difference_KD in differences(these, rows, close):
        squared_K = torch.linalg.vecdot(difference_KD, difference_KD)
        d2_RB[close.row[part], close.column[part]] = squared_K


def differences(these: Points, rows: slice, close: Pairs) -> Iterator[tuple[slice, Tensor]]:
    """x_i - x_j (K x D) of pairs of a block, some pairs at a time: a small temporary."""
    for part in _portions(len(close.row), these):
        x_KD = these.x_BD[rows.start + close.row[part]]
        yield part, x_KD - these.x_BD[these.columns.start + close.column[part]]


def reference_distances(these: Points, rows: slice, pairs: Pairs) -> Tensor:
    """d2 of pairs of a block (K, float64) as the references make it: from float64 differences."""
    x_RD, x_BD = these.x_BD[rows], these.x_BD[these.columns]
    if len(pairs.row) > len(x_RD) * len(x_BD) // 8:
        return _from_differences(x_RD.double(), x_BD.double())[pairs.row, pairs.column]
    second = these.columns.start + pairs.column
    return between(these, rows.start + pairs.row, second[:, None])[:, 0]


def between(these: Points, first_n: Tensor, second_nm: Tensor | None = None) -> Tensor:
    """`reference_distances` of points (n) to points of their own (n x m), or to all columns."""
    x_nD = these.x_BD[first_n].double()
    if second_nm is None:
        return _from_differences(x_nD, these.x_BD[these.columns].double())
    size = max(_DIFFERENCES // (2 * x_nD.shape[1] * second_nm.shape[1]), 1)
    found = [
        (x[:, None] - these.x_BD[second].double()).square_().sum(dim=2)
        for x, second in zip(x_nD.split(size), second_nm.split(size), strict=True)
    ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _portions(count: int, these: Points) -> Iterator[slice]:
    step = max(_DIFFERENCES // these.x_BD.shape[1], 1)
    for start in range(0, count, step):
        yield slice(start, start + step)


def _from_differences(x_RD: Tensor, x_BD: Tensor) -> Tensor:
    """||x_i - x_j||^2 (R x B) without a product of x_i and x_j; O(R B D) time, little memory."""
    if torch.compiler.is_compiling():
        return (x_RD[:, None] - x_BD).square().sum(dim=2)
    d2_RB = x_RD.new_empty(len(x_RD), len(x_BD))
    elements = _DIFFERENCES * 4 // x_RD.itemsize if x_RD.device.type == "cpu" else _BLOCK_CUDA
    step = max(elements // x_BD.numel(), 1)
    for start in range(0, len(x_RD), step):
        difference = x_RD[start : start + step, None] - x_BD
        torch.sum(difference.square_(), dim=2, out=d2_RB[start : start + step])
    return d2_RB
