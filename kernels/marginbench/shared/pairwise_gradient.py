"""The gradient of a loss over squared distances, from its coefficients.

With c_ij the derivative of the loss by ||x_i - x_j||^2 / 2, in either order of the pair,
dL/dx_i = sum over j of c_ij (x_i - x_j). Two ways to form it without atomics:

- dense (`add_product`): c is made in tiles, and a tile times the embeddings is a product on the
  tensor cores; for losses in which most pairs take part;
- sparse (`gradient_of_list`): the pairs that take part are listed by row and their differences
  summed one after the other, exactly; for mined pairs.

Legend: M rows and N columns of a tile, E a chunk of D, L a chunk of the list.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launching import blocks, launch, power_of_two
from .pairwise import row_pointers
from .pairwise_launch import ROWS

# Columns of D that a program of a list takes: all of them at D = 256.
LIST_COLUMNS = 256


@triton.jit
def add_product(sum_ME, weight_M, coefficient_MN, x_NE, PRECISION: tl.constexpr):
    """sum + c x and weight + the row sums of c, as exact as float32 for 16-bit operands too.

    Rounding the coefficients to 16 bits would show wherever a row's terms cancel, as they do near
    an optimum. So they go in as two bfloat16 parts (16 bits of mantissa together, the range of
    float32), and float16 embeddings, whose 11 bits do not fit bfloat16, likewise. The row sums are
    of what went in, so that weight x_i - sum loses nothing where x_i and x_j are alike.
    """
    if x_NE.dtype == tl.float32:
        sum_ME = tl.dot(coefficient_MN, x_NE, sum_ME, input_precision=PRECISION)
    else:
        high_MN = coefficient_MN.to(tl.bfloat16)
        low_MN = (coefficient_MN - high_MN.to(tl.float32)).to(tl.bfloat16)
        coefficient_MN = high_MN.to(tl.float32) + low_MN.to(tl.float32)
        if x_NE.dtype == tl.bfloat16:
            sum_ME = tl.dot(low_MN, x_NE, sum_ME)
            sum_ME = tl.dot(high_MN, x_NE, sum_ME)
        else:
            wide_NE = x_NE.to(tl.float32)
            x_high_NE = wide_NE.to(tl.bfloat16)
            x_low_NE = (wide_NE - x_high_NE.to(tl.float32)).to(tl.bfloat16)
            sum_ME = tl.dot(low_MN, x_low_NE, sum_ME)
            sum_ME = tl.dot(high_MN, x_low_NE, sum_ME)
            sum_ME = tl.dot(low_MN, x_high_NE, sum_ME)
            sum_ME = tl.dot(high_MN, x_high_NE, sum_ME)
    return sum_ME, weight_M + tl.sum(coefficient_MN, axis=1)


@triton.jit
def _gradient_of_list_kernel(
    x_ptr,  # embeddings (B x D), row stride x_stride
    begin_ptr,  # (B + 1) where each row's part of the list begins
    other_ptr,  # (entries) the partner of each entry, in [0, B)
    coefficient_ptr,  # (entries) float32
    gradient_ptr,  # out (B x D), contiguous
    B, D, x_stride, L: tl.constexpr, E: tl.constexpr,
):  # fmt: skip
    """Row k: the sum over its entries of coefficient (x_k - x_other), in the list's order."""
    row = (tl.program_id(0) % B).to(tl.int64)
    column_E = (tl.program_id(0) // B) * E + tl.arange(0, E)
    inside_E = column_E < D
    entry_L = tl.arange(0, L)

    begin = tl.load(begin_ptr + row)
    end = tl.load(begin_ptr + row + 1)
    own_E = tl.load(x_ptr + row * x_stride + column_E, mask=inside_E, other=0.0).to(tl.float32)
    sum_E = tl.zeros((E,), tl.float32)
    for start in range(begin, end, L):
        mask_L = start + entry_L < end
        other_L = tl.load(other_ptr + start + entry_L, mask=mask_L, other=0)
        coefficient_L = tl.load(coefficient_ptr + start + entry_L, mask=mask_L, other=0.0)
        other_LE = tl.load(
            row_pointers(x_ptr, other_L, x_stride)[:, None] + column_E[None, :],
            mask=mask_L[:, None] & inside_E[None, :],
            other=0.0,
        )
        difference_LE = own_E[None, :] - other_LE.to(tl.float32)
        sum_E += tl.sum(coefficient_L[:, None] * difference_LE, axis=0)

    tl.store(
        gradient_ptr + row * D + column_E, sum_E.to(gradient_ptr.dtype.element_ty), mask=inside_E
    )


def gradient_of_list(x_BD: Tensor, row: Tensor, other: Tensor, coefficient: Tensor) -> Tensor:
    """dL/dx (B x D) from entries (row, other, coefficient): the sum of c (x_row - x_other).

    x_BD with column stride 1; row, other (int64 in [0, B)) and coefficient (float32) of one
    length, in any order. Sorts the entries by row, keeping their order, so that the sum of a row
    always runs the same way: O(entries log entries + entries D) time, O(entries) memory.
    """
    batch, dim = x_BD.shape
    row, order = torch.sort(row, stable=True)
    begin = torch.searchsorted(row, torch.arange(batch + 1, device=row.device))
    gradient_BD = torch.empty_like(x_BD, memory_format=torch.contiguous_format)
    columns = power_of_two(dim, 16, LIST_COLUMNS)
    launch(
        _gradient_of_list_kernel, batch * blocks(dim, columns),
        x_ptr=x_BD, begin_ptr=begin, other_ptr=other[order], coefficient_ptr=coefficient[order],
        gradient_ptr=gradient_BD, B=batch, D=dim, x_stride=x_BD.stride(0), L=ROWS, E=columns,
    )  # fmt: skip
    return gradient_BD
