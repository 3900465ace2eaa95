"""Launches the pairwise kernels: splits the work, and centres and scales the embeddings first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import distances
from .launching import blocks, launch, power_of_two, processors, row_major
from .pairwise_tiles import tile_for as tile_for

# Kernels that are bound by memory: rows (or entries of a list) a program, and columns of D.
ROWS = 16
COLUMNS = 128
# Embeddings whose largest entry lies within 2^-24 and 2^24 are not scaled: squares of their
# differences, down to 2^-24 of themselves, and sums of those are far inside the range of float32.
ORDINARY = tl.constexpr(24)
# What `_squared_norms_kernel` takes beside a matrix where it moves and scales it.
_MOVING = ("centre_ptr", "largest_ptr", "moved_ptr", "rest_ptr", "units_ptr")


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
    the squared norms that belong to them. All but x_BD are scaled by a power of two, so that no
    square leaves the range of float32: units (3 float32, or None for ones) are what a product is
    to be multiplied by, that power of two, and one over it."""

    x_BD: Tensor
    moved_BD: Tensor
    norm_B: Tensor
    rest_BD: Tensor | None = None
    units: Tensor | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        batch, dim = self.x_BD.shape
        return {
            "x_ptr": self.x_BD, "moved_ptr": self.moved_BD, "rest_ptr": self.rest_BD,
            "norm_ptr": self.norm_B, "units_ptr": self.units, "B": batch, "D": dim,
            "x_stride": self.x_BD.stride(0), "moved_stride": self.moved_BD.stride(0),
        }  # fmt: skip

    @property
    def norm_range(self) -> Mapping[str, Tensor]:
        """The least and the greatest norm, NaN where a row has a NaN: for kernels that choose."""
        lowest, highest = self.norm_B.aminmax()
        return {"lowest_ptr": lowest, "highest_ptr": highest}


def ready(embeddings: Tensor, *, exact: bool = False, compared: bool = True) -> Ready:
    """Embeddings (B x D), moved to their centre or not, and scaled.

    float32 is moved, so that an offset common to all does not drown the distances. 16-bit
    embeddings go to the tensor cores as they are: moved, they would not fit. That serves where
    distances only choose, or end in a gradient of 16 bits. Where they add up to the value,
    ``exact`` moves them too, and splits the outcome in two float16 parts, 22 bits together: three
    products instead of one. So that float16 holds them, the largest entry is brought near 2^12.
    Where distances are ``compared`` the centre is so coarse that the squares of a coarse grid stay
    exact; where they are not, it is finer, so that points close together become small.
    """
    x_BD = row_major(embeddings)
    if x_BD.dtype == torch.float16 and not exact:
        # Between 2^-24 and 2^16: their squares stay within the range.
        return Ready(x_BD, x_BD, squared_norms(x_BD))
    split = x_BD.dtype != torch.float32 and exact
    centred = split or x_BD.dtype == torch.float32
    moved_BD = torch.empty(
        x_BD.shape, dtype=torch.float16 if split else x_BD.dtype, device=x_BD.device
    )
    rest_BD = torch.empty_like(moved_BD) if split else None
    centre_D = None
    if centred:
        centre_D = distances.centre(x_BD.float(), bits=6 if compared else 12)
    units = torch.empty(3, dtype=torch.float32, device=x_BD.device)
    norm_B = squared_norms(
        x_BD,
        centre_ptr=centre_D,
        largest_ptr=_largest(x_BD),
        moved_ptr=moved_BD, rest_ptr=rest_BD, units_ptr=units,
    )  # fmt: skip
    return Ready(x_BD, moved_BD, norm_B, rest_BD, units)


def _largest(x_BD: Tensor) -> Tensor:
    """The largest |x| (one float32), without a copy of the matrix."""
    lowest, highest = x_BD.aminmax()
    return torch.maximum(-lowest, highest).float()


@triton.jit
def _power_of_two(exponent):
    """2^exponent, for exponents in [-126, 127]; float32."""
    return ((exponent + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _exponents(largest_ptr):
    """The power of two that brings the largest entry near 1, where it is far from it, else 0; and
    the power of two of that entry after it."""
    largest = tl.load(largest_ptr)
    exponent = ((largest.to(tl.int32, bitcast=True) >> 23) & 255) - 127
    exponent = tl.where(largest == 0.0, 0, exponent)
    far = (exponent < -ORDINARY) | (exponent > ORDINARY)
    raised = tl.where(far, tl.minimum(tl.maximum(-exponent, -126), 126), 0)
    return raised, exponent + raised


@triton.jit
def _squared_norms_kernel(
    x_ptr,  # embeddings (B x D), row stride x_stride
    centre_ptr,  # what they are moved by (D) float32, or None
    largest_ptr,  # the largest |x|, one float32; None where nothing is scaled, and for what follows
    moved_ptr,  # out (B x D): moved and scaled, or their leading part
    rest_ptr,  # out (B x D), or None: what the leading part leaves
    units_ptr,  # out (3) float32: see Ready
    norm_ptr,  # out (B) float32: squared norms of the outcome
    B, D, x_stride, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    row_M = tl.program_id(0) * M + tl.arange(0, M)
    depth_K = tl.arange(0, K)
    mask_M = row_M < B
    x_ptr_M = x_ptr + row_M.to(tl.int64) * x_stride
    if largest_ptr is not None:
        raised, exponent = _exponents(largest_ptr)
        scale = _power_of_two(raised)
        # Of a leading part in float16: the largest entry there is near 2^12.
        lift = 11 - exponent if rest_ptr is not None else 0 * exponent
        if tl.program_id(0) == 0:
            tl.store(units_ptr, _power_of_two(-2 * lift))
            tl.store(units_ptr + 1, scale)
            tl.store(units_ptr + 2, _power_of_two(-raised))
    square_MK = tl.zeros((M, K), tl.float32)
    for start in range(0, D, K):
        mask_MK = mask_M[:, None] & (start + depth_K < D)[None, :]
        x_MK = tl.load(x_ptr_M[:, None] + (start + depth_K)[None, :], mask=mask_MK, other=0.0)
        x_MK = x_MK.to(tl.float32)
        if centre_ptr is not None:
            centre_K = tl.load(centre_ptr + start + depth_K, mask=start + depth_K < D, other=0.0)
            x_MK -= centre_K[None, :]
        if largest_ptr is not None:
            x_MK *= scale
            out_MK = row_M.to(tl.int64)[:, None] * D + (start + depth_K)[None, :]
            dtype = moved_ptr.dtype.element_ty
            if rest_ptr is not None:
                lifted_MK = x_MK * _power_of_two(lift)
                rest_MK = (lifted_MK - lifted_MK.to(dtype).to(tl.float32)).to(dtype)
                tl.store(moved_ptr + out_MK, lifted_MK.to(dtype), mask=mask_MK)
                tl.store(rest_ptr + out_MK, rest_MK, mask=mask_MK)
                # Of the two parts, not of what they were split from: the distances are theirs.
                x_MK = lifted_MK.to(dtype).to(tl.float32) + rest_MK.to(tl.float32)
                x_MK *= _power_of_two(-lift)
            else:
                tl.store(moved_ptr + out_MK, x_MK.to(dtype), mask=mask_MK)
        square_MK += x_MK * x_MK
    tl.store(norm_ptr + row_M, tl.sum(square_MK, axis=1), mask=mask_M)


def squared_norms(x_BD: Tensor, **moving: Tensor | None) -> Tensor:
    """||x_i||^2 (B, float32) of a matrix with column stride 1, or of what ``moving``, the kernel's
    arguments for it, makes of it."""
    batch, dim = x_BD.shape
    norm_B = torch.empty(batch, dtype=torch.float32, device=x_BD.device)
    launch(
        _squared_norms_kernel, blocks(batch, ROWS),
        x_ptr=x_BD, **{name: moving.get(name) for name in _MOVING}, norm_ptr=norm_B,
        B=batch, D=dim, x_stride=x_BD.stride(0), M=ROWS, K=columns_of(x_BD),
    )  # fmt: skip
    return norm_B
