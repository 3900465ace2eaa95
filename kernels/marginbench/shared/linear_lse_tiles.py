"""Launch parameters of linear + log-sum-exp: the tile of each product, and the backward scratch.

The table was made by compiling ahead of time, NOT by timing on a GPU: with its tiles no kernel
spills registers or needs more shared memory than there is, and 16-bit products run on tensor
cores, on any of `architectures.KNOWN`. Which of the tiles that do so is the fastest is left to
autotuning (`tuning`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .architectures import nearest
from .launching import Tile, architecture, blocks, power_of_two, product_precision

# Low and high bound of the backward scratch.
SCRATCH_BYTES = (8 << 20, 32 << 20)
# Row kernels, bound by memory: 16 rows a program, in strips of D.
ROWS = 16
# Keeps probabilities down to 2^-22 normal in float16, and slopes up to 63 finite.
HALF_SCALE = 256.0


@dataclass(frozen=True)
class StreamTile(Tile):
    """The tile of the forward product, past which the classes stream (B x C in depths of D).
    ``descriptors``: tensor descriptors load it, where they can (`described`); ``registers``: the
    most that a thread has, or None."""

    descriptors: bool = False
    registers: int | None = None


@dataclass(frozen=True)
class Backward:
    """The tile of each product of the backward pass: coefficients (B x C in depths of D),
    embedding gradient (B x D in depths of C), weight gradient (C x D in depths of B). All three are
    one launch, so they have the same warps and stages; its registers are those of the largest."""

    coefficients: Tile
    embeddings: Tile
    weights: Tile

    def __post_init__(self) -> None:
        launched = {(tile.warps, tile.stages) for tile in vars(self).values()}
        if len(launched) > 1:
            raise ValueError(f"Backward: expected the same warps and stages; got {self}")


@dataclass(frozen=True)
class Tiles:
    """The tile of the forward product, and those of the backward pass."""

    stream: StreamTile
    backward: Backward


def _tiles(stream: Tile, coefficients: Tile, embeddings: Tile, weights: Tile) -> Tiles:
    if not isinstance(stream, StreamTile):
        stream = StreamTile(**vars(stream))
    return Tiles(stream, Backward(coefficients, embeddings, weights))


_WIDE, _WIDE_TF32 = Tile(128, 128, 64, 8, 3), Tile(128, 128, 32, 8, 3)
_FLAT, _FLAT_TF32 = Tile(64, 128, 64, 4, 3), Tile(64, 128, 32, 4, 3)
_SMALL, _SMALL_TF32 = Tile(64, 64, 64, 4, 3), Tile(64, 64, 32, 4, 3)
_IEEE, _IEEE_SHALLOW = Tile(64, 64, 32, 4, 2), Tile(64, 64, 16, 4, 2)
# The same for backward passes, whose three products share the registers of eight warps.
_FLAT_8, _FLAT_8_TF32 = replace(_FLAT, warps=8), replace(_FLAT_TF32, warps=8)
_SMALL_8, _SMALL_8_TF32 = replace(_SMALL, warps=8), replace(_SMALL_TF32, warps=8)
# By kind of number and shape class. 16-bit operands and tf32 take tiles that a warp group's
# tensor-core product wants; other float32 runs on the ordinary units, whose accumulators fill the
# registers of a smaller tile. Rows of a length that isn't a multiple of 16, which Triton compiles
# for, can't be loaded wide: their addresses need registers too, so the tiles are smaller.
SHARED = {
    ("16-bit", "many rows"): _tiles(_WIDE, _WIDE, _WIDE, _WIDE),
    ("16-bit", "few rows"): _tiles(_FLAT, _FLAT_8, _FLAT_8, _WIDE),
    ("16-bit", "unaligned"): _tiles(_SMALL, _SMALL_8, _SMALL_8, _SMALL_8),
    ("tf32", "many rows"): _tiles(_WIDE_TF32, _WIDE_TF32, _WIDE_TF32, _WIDE_TF32),
    ("tf32", "few rows"): _tiles(_FLAT_TF32, _FLAT_8_TF32, _FLAT_8_TF32, _WIDE_TF32),
    ("tf32", "unaligned"): _tiles(_SMALL_TF32, _SMALL_8_TF32, _SMALL_8_TF32, _SMALL_8_TF32),
    ("ieee", "many rows"): _tiles(_IEEE, _IEEE, _IEEE, _IEEE),
    ("ieee", "few rows"): _tiles(_IEEE, _IEEE, _IEEE, _IEEE),
    ("ieee", "unaligned"): _tiles(_IEEE_SHALLOW, *(3 * [replace(_IEEE_SHALLOW, warps=8)])),
}
# Where those spill. sm_100 keeps its sums outside the registers and loads them all at once, gfx942
# holds one mask a row of the tile in its scalar registers.
_SM_100, _SM_100_TF32 = Tile(128, 64, 64, 8, 3), Tile(128, 64, 32, 8, 3)
_GFX942, _GFX942_TF32 = Tile(64, 128, 64, 8, 2), Tile(64, 128, 32, 8, 2)
# With a bias two programs a processor by this limit, where pointers would spill.
_DESCRIBED = StreamTile(128, 128, 64, 8, 3, descriptors=True, registers=128)
OWN = {
    "sm_90": {("16-bit", "many rows"): _tiles(_DESCRIBED, _WIDE, _WIDE, _WIDE)},
    "sm_100": {
        ("16-bit", "many rows"): _tiles(_WIDE, _SM_100, _SM_100, _WIDE),
        ("tf32", "many rows"): _tiles(_WIDE_TF32, _SM_100_TF32, _SM_100_TF32, _WIDE_TF32),
    },
    "gfx942": {
        ("16-bit", "many rows"): _tiles(_GFX942, _GFX942, _GFX942, _GFX942),
        ("tf32", "many rows"): _tiles(_GFX942_TF32, *(3 * [_GFX942_TF32])),
    },
}
# Architectures with tensor descriptors in hardware, and what autotuning tries there.
DESCRIBING = ("sm_90", "sm_100")
TRIED_DESCRIBED = {
    "16-bit": (
        _DESCRIBED, StreamTile(128, 128, 64, 8, 4, descriptors=True),
        StreamTile(128, 256, 64, 8, 3, descriptors=True),
    ),
    "tf32": (StreamTile(128, 128, 32, 8, 3, descriptors=True),),
}  # fmt: skip
# What autotuning tries beside the table's, in every product of a pass at once.
TRIED = {
    "16-bit": (
        _FLAT, _SMALL, Tile(128, 64, 64, 8, 3), Tile(128, 128, 64, 8, 4), Tile(128, 128, 32, 8, 4),
        Tile(128, 256, 64, 8, 3),
    ),
    "tf32": (_FLAT_TF32, _SMALL_TF32, Tile(128, 64, 32, 8, 3), Tile(128, 128, 32, 8, 2)),
    "ieee": (Tile(64, 64, 16, 4, 3), Tile(128, 64, 16, 8, 2), Tile(64, 128, 16, 8, 2),
             Tile(32, 64, 32, 4, 2)),
}  # fmt: skip


def tiles(device: torch.device, dtype: torch.dtype, batch: int, dim: int) -> Tiles:
    """The table's tiles for embeddings (batch x dim), none deeper or wider than they are."""
    return _tiles_of(
        nearest(architecture(device)), _numbers(dtype), _shape_class(batch, dim), batch, dim
    )


def streams(device: torch.device, dtype: torch.dtype, batch: int, dim: int) -> list[StreamTile]:
    """The tiles that the forward pass may have, the table's first."""
    known, numbers = nearest(architecture(device)), _numbers(dtype)
    return list(_streams_of(known, numbers, _shape_class(batch, dim), batch, dim))


@functools.lru_cache(1024)
def _streams_of(
    known: str, numbers: str, shape: str, batch: int, dim: int
) -> tuple[StreamTile, ...]:
    own, shared = _tiles_of(known, numbers, shape, batch, dim), SHARED[numbers, shape]
    found = [own, _fitted(shared, batch, dim), *_tried(TRIED[numbers], batch, dim)]
    if known in DESCRIBING and shape != "unaligned":
        found += _tried(TRIED_DESCRIBED.get(numbers, ()), batch, dim)
    return tuple(dict.fromkeys(one.stream for one in found))


def described(tile: StreamTile, *matrices: Tensor) -> bool:
    """Whether descriptors load these: they and all their rows begin at multiples of 16 bytes."""
    return tile.descriptors and all(
        of.data_ptr() % 16 == 0 and of.stride(0) * of.element_size() % 16 == 0 for of in matrices
    )


def backwards(device: torch.device, dtype: torch.dtype, batch: int, dim: int) -> list[Backward]:
    """The tiles that the backward pass may have, the table's first."""
    table = tiles(device, dtype, batch, dim)
    tried = (one.backward for one in _tried(TRIED[_numbers(dtype)], batch, dim))
    return list(dict.fromkeys([table.backward, *tried]))


def entry(
    device: torch.device, dtype: torch.dtype, batch: int, dim: int
) -> tuple[str, str, str, str]:
    """Where the table has the tiles of such embeddings: OWN or SHARED, the architecture that is
    looked up, the kind of number and the shape class."""
    known, case = nearest(architecture(device)), (_numbers(dtype), _shape_class(batch, dim))
    return "OWN" if case in OWN.get(known, {}) else "SHARED", known, *case


def _numbers(dtype: torch.dtype) -> str:
    if dtype != torch.float32:
        return "16-bit"
    return product_precision(dtype)


def _shape_class(batch: int, dim: int) -> str:
    if dim % 16:
        return "unaligned"
    return "many rows" if batch > 64 else "few rows"


@functools.lru_cache(1024)
def _tiles_of(known: str, numbers: str, shape: str, batch: int, dim: int) -> Tiles:
    found = OWN.get(known, {}).get((numbers, shape)) or SHARED[numbers, shape]
    return _fitted(found, batch, dim)


@functools.lru_cache(1024)
def _tried(tried: tuple[Tile, ...], batch: int, dim: int) -> tuple[Tiles, ...]:
    return tuple(_fitted(_tiles(tile, tile, tile, tile), batch, dim) for tile in tried)


def _fitted(tiles: Tiles, batch: int, dim: int) -> Tiles:
    """Tiles cut down to the length of a row, and for sums over rows to the batch."""

    def within(length: int, most: int) -> int:
        return power_of_two(length, 16, most)

    def logits(tile: Tile) -> Tile:
        return replace(tile, depth=within(dim, tile.depth))

    def gradient(tile: Tile, depth: int) -> Tile:
        return replace(tile, columns=within(dim, tile.columns), depth=depth)

    found = tiles.backward
    return _tiles(
        logits(tiles.stream),
        logits(found.coefficients),
        gradient(found.embeddings, found.embeddings.depth),
        gradient(found.weights, within(batch, found.weights.depth)),
    )


def range_of_classes(batch: int, classes: int, itemsize: int, unit: int, slots: int) -> int:
    """How many classes a range of the backward pass has: whole units, as the scratch allows, in
    which as many ranges as there are ``slots`` lie side by side.

    The scratch is a 256th of what B x C logits in this dtype take, but 8 to 32 MiB: enough work for
    every processor between two ranges that wait for one another, little enough to stay in a GPU's
    second-level cache; a range is at least a unit wide.
    """
    low, high = SCRATCH_BYTES
    budget = min(max(batch * classes * itemsize // 256, low), high)
    affordable = budget // (slots * batch * itemsize) // unit
    return unit * min(max(affordable, 1), blocks(classes, unit))
