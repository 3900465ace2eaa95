"""How the pairwise kernels are launched: tile sizes, and the embeddings made ready for them.

Tiles are chosen so that no kernel spills registers on sm_90 (a test compiles them all) and that
16-bit ones have the 64 rows that a warp group multiplies at once; they are not tuned on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .distances import points
from .launching import (
    Tile,
    blocks,
    launch,
    power_of_two,
    processors,
    product_precision,
    row_major,
)


@dataclass(frozen=True)
class PairTile(Tile):
    """``rows`` x ``columns`` distances at a time, products in chunks of ``depth`` of D. A gradient
    is formed ``output`` columns of D at a time; ``slots`` positives of an anchor at a time."""

    output: int = 0
    slots: int = 0

    def options(self, x_BD: Tensor) -> dict[str, Any]:
        """The launch options of a kernel over tiles of distances of ``x_BD``."""
        return {
            "M": self.rows,
            "N": self.columns,
            "K": power_of_two(x_BD.shape[1], 16, self.depth),
            "PRECISION": product_precision(x_BD.dtype),
            "num_warps": self.warps,
            "num_stages": self.stages,
        }


_16_BIT = {
    "reduce": PairTile(rows=64, columns=128, depth=64, warps=8, stages=3),
    "slots": PairTile(rows=64, columns=64, depth=64, warps=8, stages=3, slots=4),
    "gradient": PairTile(rows=64, columns=64, depth=64, warps=8, stages=2, output=128),
    "product": PairTile(rows=64, columns=32, depth=64, warps=8, stages=2, output=128),
}
_32_BIT = {
    "reduce": PairTile(rows=64, columns=64, depth=32, warps=8, stages=2),
    "slots": PairTile(rows=64, columns=32, depth=32, warps=8, stages=2, slots=4),
    "gradient": PairTile(rows=64, columns=32, depth=32, warps=8, stages=1, output=64),
    "product": PairTile(rows=64, columns=32, depth=32, warps=8, stages=2, output=64),
}
# Kernels that are bound by memory: rows (or entries of a list) a program, and columns of D.
ROWS = 16
COLUMNS = 128


def tile_for(kind: str, x_BD: Tensor) -> PairTile:
    """The tile of a kernel that reduces distances, fills slots with chosen ones, forms a gradient
    from distances, or forms the product of ready coefficients."""
    return (_32_BIT if x_BD.dtype == torch.float32 else _16_BIT)[kind]


def columns_of(x_BD: Tensor) -> int:
    """How many columns of D a kernel that is bound by memory takes at a time."""
    return power_of_two(x_BD.shape[1], 16, COLUMNS)


def splits_of(across: int, columns: int, device: torch.device) -> tuple[int, int]:
    """Into how many parts the blocks of columns go, and how many each has: with ``across`` blocks
    of output, about four programs a processor, so that the last to finish leave few idle."""
    each = blocks(columns, blocks(4 * processors(device), across))
    return blocks(columns, each), each


@dataclass(frozen=True)
class Ready:
    """Embeddings as the kernels take them: x_BD themselves, rows of any stride; moved_BD, those
    whose products are formed; norm_B (float32), the squared norms of the moved ones."""

    x_BD: Tensor
    moved_BD: Tensor
    norm_B: Tensor

    @property
    def arguments(self) -> Mapping[str, Any]:
        batch, dim = self.x_BD.shape
        return {
            "x_ptr": self.x_BD, "moved_ptr": self.moved_BD, "norm_ptr": self.norm_B,
            "B": batch, "D": dim,
            "x_stride": self.x_BD.stride(0), "moved_stride": self.moved_BD.stride(0),
        }  # fmt: skip


def ready(embeddings: Tensor) -> Ready:
    """float32 is moved to its centre first, so that an offset common to all does not drown the
    distances. 16-bit embeddings go to the tensor cores as they are: moved, they would not fit."""
    x_BD = row_major(embeddings)
    moved_BD = points(x_BD).centred_BD if x_BD.dtype == torch.float32 else x_BD
    return Ready(x_BD, moved_BD, squared_norms(moved_BD))


@triton.jit
def _squared_norms_kernel(x_ptr, norm_ptr, B, D, x_stride, M: tl.constexpr, K: tl.constexpr):
    """norm (B, float32): ||x_i||^2 of x (B x D, row stride x_stride)."""
    row_M = tl.program_id(0) * M + tl.arange(0, M)
    depth_K = tl.arange(0, K)
    mask_M = row_M < B
    x_ptr_M = x_ptr + row_M.to(tl.int64) * x_stride
    square_MK = tl.zeros((M, K), tl.float32)
    for start in range(0, D, K):
        mask_MK = mask_M[:, None] & (start + depth_K < D)[None, :]
        x_MK = tl.load(x_ptr_M[:, None] + (start + depth_K)[None, :], mask=mask_MK, other=0.0)
        square_MK += x_MK.to(tl.float32) * x_MK.to(tl.float32)
    tl.store(norm_ptr + row_M, tl.sum(square_MK, axis=1), mask=mask_M)


def squared_norms(x_BD: Tensor) -> Tensor:
    """||x_i||^2 (B, float32) of a matrix with column stride 1."""
    batch, dim = x_BD.shape
    norm_B = torch.empty(batch, dtype=torch.float32, device=x_BD.device)
    launch(
        _squared_norms_kernel, blocks(batch, ROWS),
        x_ptr=x_BD, norm_ptr=norm_B, B=batch, D=dim, x_stride=x_BD.stride(0),
        M=ROWS, K=columns_of(x_BD),
    )  # fmt: skip
    return norm_B
