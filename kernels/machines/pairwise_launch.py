"""How the pairwise kernels are launched: tile sizes, and the embeddings made ready for them.

Tiles are chosen so that no kernel spills registers on sm_90 (`make static` compiles them all) and
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

from . import distances
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
    "exact": PairTile(rows=64, columns=64, depth=64, warps=8, stages=2),
    "slots": PairTile(rows=64, columns=64, depth=64, warps=8, stages=3, slots=4),
    "gradient": PairTile(rows=64, columns=64, depth=64, warps=8, stages=2, output=128),
    "product": PairTile(rows=64, columns=32, depth=64, warps=8, stages=2, output=128),
}
_32_BIT = {
    "reduce": PairTile(rows=64, columns=64, depth=32, warps=8, stages=2),
    "exact": PairTile(rows=64, columns=32, depth=32, warps=4, stages=2),
    "slots": PairTile(rows=32, columns=64, depth=32, warps=8, stages=2, slots=4),
    "gradient": PairTile(rows=64, columns=32, depth=32, warps=8, stages=1, output=64),
    "product": PairTile(rows=64, columns=32, depth=32, warps=8, stages=2, output=64),
}
# Kernels that are bound by memory: rows (or entries of a list) a program, and columns of D.
ROWS = 16
COLUMNS = 128


def tile_for(kind: str, x_BD: Tensor) -> PairTile:
    """The tile of a kernel that reduces distances, from exact products or not, fills slots with
    chosen ones, forms a gradient from distances, or a product of ready coefficients."""
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
    """Embeddings as the kernels take them. x_BD themselves, rows of any stride; moved_BD, those
    whose products are formed, or their leading part and rest_BD what it leaves; norm_B (float32),
    the squared norms that belong to them; unit (one float32, or None for 1), what a product is to
    be multiplied by."""

    x_BD: Tensor
    moved_BD: Tensor
    norm_B: Tensor
    rest_BD: Tensor | None = None
    unit: Tensor | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        batch, dim = self.x_BD.shape
        return {
            "x_ptr": self.x_BD, "moved_ptr": self.moved_BD, "rest_ptr": self.rest_BD,
            "norm_ptr": self.norm_B, "unit_ptr": self.unit, "B": batch, "D": dim,
            "x_stride": self.x_BD.stride(0), "moved_stride": self.moved_BD.stride(0),
        }  # fmt: skip


def ready(embeddings: Tensor, *, exact: bool = False) -> Ready:
    """Embeddings (B x D), moved to their centre or not.

    float32 is moved, so that an offset common to all does not drown the distances. 16-bit
    embeddings go to the tensor cores as they are: moved, they would not fit. That serves where
    distances only choose, or end in a gradient of 16 bits. Where they add up to the value,
    ``exact`` moves them too, and splits the outcome in two float16 parts, 22 bits together: three
    products instead of one. So that float16 holds them, the largest entry is brought near 2^12.
    """
    x_BD = row_major(embeddings)
    if x_BD.dtype != torch.float32 and not exact:
        return Ready(x_BD, x_BD, squared_norms(x_BD))
    moved_BD = x_BD - distances._centre(x_BD.float())
    if x_BD.dtype == torch.float32:
        return Ready(x_BD, moved_BD, squared_norms(moved_BD))
    exponent = (12 - torch.frexp(moved_BD.abs().amax()).exponent).clamp(-60, 60)
    scaled_BD = torch.ldexp(moved_BD, exponent)
    leading_BD = scaled_BD.half()
    rest_BD = (scaled_BD - leading_BD).half()
    # Of the two parts, not of what they were split from: the distances are theirs.
    norm_B = squared_norms(torch.ldexp(leading_BD + rest_BD.float(), -exponent))
    unit = torch.ldexp(torch.ones_like(norm_B[:1]), -2 * exponent)
    return Ready(x_BD, leading_BD, norm_B, rest_BD, unit)


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
