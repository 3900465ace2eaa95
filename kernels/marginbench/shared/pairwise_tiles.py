"""Launch parameters of the pairwise kernels: the tile of each.

The table was made by compiling ahead of time, NOT by timing on a GPU: with its tiles no kernel
spills registers to memory or needs more shared memory than there is, and 16-bit products run on
tensor cores, on any of `architectures.KNOWN`. 16-bit tiles have the 64 rows that a warp group
multiplies at once. Which of the tiles that do so is the fastest is left to autotuning (`tuning`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from . import tuning
from .architectures import nearest
from .launching import Tile, architecture, power_of_two, product_precision

R = TypeVar("R")


@dataclass(frozen=True)
class PairTile(Tile):
    """``rows`` x ``columns`` distances at a time, products in chunks of ``depth`` of D. A gradient
    is formed ``output`` columns of D at a time; ``slots`` positives of an anchor at a time."""

    output: int = 0
    slots: int = 0

    def options(self, x_BD: Tensor) -> dict[str, Any]:
        """The launch options of a kernel over tiles of distances of ``x_BD``. Products are less
        exact than IEEE, where torch allows that, in gradients alone: what is chosen by distances
        is checked again only where IEEE products leave it open (`pairwise_choice.rounding`)."""
        return {
            "M": self.rows,
            "N": self.columns,
            "K": power_of_two(x_BD.shape[1], 16, self.depth),
            "PRECISION": product_precision(x_BD.dtype) if self.output else "ieee",
            "num_warps": self.warps,
            "num_stages": self.stages,
        }


# By kind of number and what a kernel does: reduce distances, from exact products or not, fill slots
# with chosen ones, form a gradient from distances, or a product of ready coefficients.
SHARED = {
    ("16-bit", "reduce"): PairTile(64, 128, 64, warps=8, stages=3),
    ("16-bit", "exact"): PairTile(64, 64, 64, warps=8, stages=2),
    ("16-bit", "slots"): PairTile(64, 64, 64, warps=8, stages=3, slots=4),
    ("16-bit", "gradient"): PairTile(64, 64, 64, warps=8, stages=2, output=128),
    ("16-bit", "product"): PairTile(64, 32, 64, warps=8, stages=2, output=128),
    ("32-bit", "reduce"): PairTile(64, 64, 32, warps=8, stages=2),
    ("32-bit", "exact"): PairTile(64, 32, 32, warps=4, stages=2),
    ("32-bit", "slots"): PairTile(32, 64, 32, warps=8, stages=2, slots=4),
    ("32-bit", "gradient"): PairTile(64, 32, 32, warps=8, stages=1, output=64),
    ("32-bit", "product"): PairTile(64, 32, 32, warps=8, stages=2, output=64),
}
# Rows of a length that isn't a multiple of 16, which Triton compiles for, can't be loaded wide:
# their addresses need registers too, and the tiles above would spill up to a kilobyte a thread.
UNALIGNED = SHARED | {
    ("16-bit", "reduce"): PairTile(64, 32, 32, warps=8, stages=2),
    ("16-bit", "exact"): PairTile(64, 32, 32, warps=8, stages=2),
    ("16-bit", "slots"): PairTile(64, 32, 32, warps=8, stages=2, slots=2),
    ("16-bit", "gradient"): PairTile(64, 32, 16, warps=8, stages=2, output=32),
    ("32-bit", "reduce"): PairTile(32, 32, 16, warps=4, stages=1),
    ("32-bit", "exact"): PairTile(64, 32, 16, warps=4, stages=2),
    ("32-bit", "slots"): PairTile(32, 32, 16, warps=4, stages=1, slots=2),
    ("32-bit", "gradient"): PairTile(64, 32, 16, warps=8, stages=1, output=32),
}
# Where those spill. (gfx942 spills scalar registers with any: into vector registers, not memory.)
OWN = {
    "sm_80": {("16-bit", "gradient"): PairTile(64, 32, 64, warps=8, stages=2, output=128)},
    "sm_100": {("32-bit", "reduce"): PairTile(64, 64, 32, warps=4, stages=2)},
    "gfx942": {
        ("16-bit", "gradient"): PairTile(64, 32, 64, warps=8, stages=2, output=128),
        ("32-bit", "slots"): PairTile(32, 32, 32, warps=4, stages=2, slots=2),
    },
}
# What autotuning tries beside the table's.
TRIED = {
    ("16-bit", "reduce"): (
        PairTile(64, 64, 64, 4, 3), PairTile(128, 128, 64, 8, 3), PairTile(128, 64, 64, 8, 3),
        PairTile(64, 128, 32, 8, 4),
    ),
    ("16-bit", "exact"): (
        PairTile(64, 64, 64, 4, 2), PairTile(64, 128, 32, 8, 2), PairTile(128, 64, 32, 8, 2),
        PairTile(64, 64, 32, 8, 3),
    ),
    ("16-bit", "slots"): (
        PairTile(64, 64, 64, 8, 3, slots=2), PairTile(64, 32, 64, 8, 3, slots=4),
        PairTile(64, 128, 64, 8, 2, slots=2),
    ),
    ("16-bit", "gradient"): (
        PairTile(64, 32, 64, 8, 2, output=128), PairTile(64, 64, 64, 8, 2, output=64),
        PairTile(64, 32, 64, 8, 2, output=256),
    ),
    ("16-bit", "product"): (
        PairTile(64, 64, 64, 8, 2, output=128), PairTile(64, 32, 64, 4, 2, output=64),
        PairTile(64, 32, 64, 8, 3, output=256),
    ),
    ("32-bit", "reduce"): (
        PairTile(64, 32, 32, 4, 2), PairTile(32, 64, 32, 4, 2), PairTile(64, 64, 16, 8, 3),
    ),
    ("32-bit", "exact"): (
        PairTile(64, 64, 32, 8, 2), PairTile(32, 32, 32, 4, 2), PairTile(64, 32, 16, 4, 3),
    ),
    ("32-bit", "slots"): (
        PairTile(32, 64, 32, 8, 2, slots=2), PairTile(32, 32, 32, 4, 2, slots=4),
    ),
    ("32-bit", "gradient"): (
        PairTile(64, 32, 32, 8, 2, output=64), PairTile(32, 32, 32, 4, 1, output=64),
        PairTile(64, 32, 16, 8, 1, output=128),
    ),
    ("32-bit", "product"): (
        PairTile(64, 32, 32, 4, 2, output=64), PairTile(64, 32, 32, 8, 2, output=128),
    ),
}  # fmt: skip


def tiles_for(kind: str, x_BD: Tensor) -> list[PairTile]:
    """The tiles that a kernel may have, the table's first."""
    case = "32-bit" if x_BD.dtype == torch.float32 else "16-bit", kind
    aligned = x_BD.shape[1] % 16 == 0
    own = OWN.get(nearest(architecture(x_BD.device)), {}) if aligned else {}
    table = own.get(case) or (SHARED if aligned else UNALIGNED)[case]
    return list(dict.fromkeys([table, SHARED[case], *TRIED[case]]))


def tile_for(kind: str, x_BD: Tensor) -> PairTile:
    """The table's tile, for a kernel that is not tuned."""
    tile = tiles_for(kind, x_BD)[0]
    tuning.note(f"pairs {kind}", x_BD, _sizes(x_BD), tile)
    return tile


def with_tile(kind: str, name: str, x_BD: Tensor, call: Callable[[PairTile], R]) -> R:
    """``call``, an operator's whole work called ``name``, with the table's tile of a kind, or where
    tiles are tuned with the fastest. See `tuning.tuned`."""
    candidates = tiles_for(kind, x_BD)
    return tuning.tuned(f"pairs {kind}: {name}", x_BD, _sizes(x_BD), candidates, call)


def _sizes(x_BD: Tensor) -> dict[str, int]:
    return {"B": x_BD.shape[0], "D": x_BD.shape[1]}
