"""Launch parameters of linear + log-sum-exp: the tile of each product, and the backward scratch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .launching import Tile, blocks, power_of_two

# Low and high bound of the backward scratch.
SCRATCH_BYTES = (8 << 20, 32 << 20)
# Row kernels, bound by memory: 16 rows a program, in strips of D.
ROWS = 16
# Keeps probabilities down to 2^-22 normal in float16, and slopes up to 63 finite.
HALF_SCALE = 256.0


@dataclass(frozen=True)
class Tiles:
    """The tile of each product: classes stream by, coefficients (both B x C in depths of D),
    embedding gradient (B x D in depths of C), weight gradient (C x D in depths of B)."""

    stream: Tile
    coefficients: Tile
    embeddings: Tile
    weights: Tile


def tiles(dtype: torch.dtype, precision: str, batch: int, dim: int) -> Tiles:
    """Chosen so that none spills registers on sm_90; not tuned on a GPU yet.

    16-bit operands take tiles that a warp group's tensor-core product wants; float32 without tf32
    runs on the ordinary units, whose accumulators fill the registers of a smaller tile. Rows
    of a length that isn't a multiple of 16, which Triton compiles for, can't be loaded wide: their
    addresses need registers too, so tiles are smaller.
    """
    wide_loads = dim % 16 == 0
    if dtype == torch.float32 and precision == "ieee":
        deep, wide = power_of_two(dim, 16, 32 if wide_loads else 16), power_of_two(dim, 16, 64)
        logits = Tile(64, 64, deep, warps=4, stages=2)
        return Tiles(
            stream=logits,
            coefficients=logits,
            embeddings=Tile(64, wide, 32, warps=4, stages=2),
            weights=Tile(64, wide, power_of_two(batch, 16, 32), warps=4, stages=2),
        )
    most = 32 if dtype == torch.float32 else 64
    deep, wide = power_of_two(dim, 16, most), power_of_two(dim, 16, 128)
    rows, warps = (128, 8) if batch > 64 else (64, 4)
    if wide_loads:
        logits = Tile(rows, 128, deep, warps=warps, stages=3)
    else:
        logits = Tile(64, 64, deep, warps=4, stages=3)
    return Tiles(
        stream=logits,
        coefficients=logits,
        embeddings=Tile(rows, wide, most, warps=warps, stages=3),
        weights=Tile(128 if wide_loads else 64, wide, power_of_two(batch, 16, most), 8, 3),
    )


def range_of_classes(batch: int, classes: int, itemsize: int, unit: int) -> int:
    """How many classes the backward pass takes at a time: whole units, as the scratch allows.

    The scratch is a 256th of what B x C logits in this dtype take, but 8 to 32 MiB: enough that a
    launch is worth its cost, little enough to stay in a GPU's second-level cache; at least a unit
    wide.
    """
    low, high = SCRATCH_BYTES
    budget = min(max(batch * classes * itemsize // 256, low), high)
    affordable = budget // (batch * itemsize) // unit
    return unit * min(max(affordable, 1), blocks(classes, unit))
