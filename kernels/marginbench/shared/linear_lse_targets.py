"""The last kernels of the way back of linear + log-sum-exp: dX out of its partial sums, and what a
margin on the target's logit adds. Pointers are those of `linear_lse_backward`, and:

order (B, int64): the rows by label, those of a label in their order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .linear_lse_backward import scale_of
from .linear_lse_forward import labels_of, own_products


@triton.jit(do_not_specialize=["splits"])
def embedding_gradient(
    partial_ptr, x_ptr, w_ptr, y_ptr, scales_ptr, rows_ptr, upstream_ptr, peak_ptr, steepest_ptr,
    dx_ptr, dscales_ptr, B, C, D, splits, x_stride, w_stride,
    SCALE: tl.constexpr, STEEP: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """dx (B x D, in the dtype of x) from the partial sums and what the margin adds; dscales (B,
    float32) or None. A block of rows a program.

    A steep margin's pull is pull (w / ||w|| - cos theta x / ||x||) + along x / ||x||: a steep slope
    times a short difference, in float64.
    """
    rows = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    row_there = rows < B
    d = tl.arange(0, BLOCK_D)
    unit = scale_of(peak_ptr) / SCALE
    if steepest_ptr is not None:
        unit *= scale_of(steepest_ptr)
    radial = tl.load(rows_ptr + 3 * B + rows, mask=row_there, other=0.0)
    upstream = tl.load(upstream_ptr + rows, mask=row_there, other=0.0)
    radial *= upstream
    if scales_ptr is not None:
        scales = tl.load(scales_ptr + rows, mask=row_there, other=0.0)
        radial *= scales
    if STEEP:
        y = labels_of(y_ptr, rows, row_there, C)
        valid = y >= 0
        inner, x_length, w_length = own_products(
            x_ptr, w_ptr, rows, row_there, y, valid, D, x_stride, w_stride, BLOCK_B, BLOCK_D
        )
        x_length = tl.where(x_length == 0.0, 1.0, tl.sqrt(x_length))
        w_length = tl.where(w_length == 0.0, 1.0, tl.sqrt(w_length))
        factor = upstream.to(tl.float64)
        if scales_ptr is not None:
            factor *= scales
        pull = factor * tl.load(rows_ptr + 4 * B + rows, mask=row_there, other=0.0)
        by_length = factor * tl.load(rows_ptr + 5 * B + rows, mask=row_there, other=0.0)
        by_w = pull / w_length
        by_x = (by_length - pull * (inner / (x_length * w_length))) / x_length
    along = tl.zeros((BLOCK_B,), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        d_there = (start + d < D)[None, :]
        there = row_there[:, None] & d_there
        sums = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float32)
        at = rows.to(tl.int64)
        for _ in range(splits):
            ptrs = partial_ptr + at[:, None] * D + (start + d)[None, :]
            sums += tl.load(ptrs, mask=there, other=0.0)
            at += B
        x_at = x_ptr + rows.to(tl.int64)[:, None] * x_stride + (start + d)[None, :]
        x = tl.load(x_at, mask=there, other=0.0).to(tl.float32)
        dx = sums * unit
        if STEEP:
            w_at = w_ptr + y.to(tl.int64)[:, None] * w_stride + (start + d)[None, :]
            w = tl.load(w_at, mask=valid[:, None] & d_there, other=0.0)
            own = by_w[:, None] * w.to(tl.float32).to(tl.float64)
            own += by_x[:, None] * x.to(tl.float64)
            dx += own.to(tl.float32)
        else:
            # A scale to x and one to its factor: the square of that of a short row is infinite.
            scaled = x
            if scales_ptr is not None:
                scaled = x * scales[:, None]
            dx += radial[:, None] * scaled
        along += tl.sum(dx * x, axis=1)
        if dx_ptr is not None:
            dx_at = dx_ptr + rows.to(tl.int64)[:, None] * D + (start + d)[None, :]
            tl.store(dx_at, dx, mask=there)
    if dscales_ptr is not None:
        # By a scale and along its row a logit has the same derivative, but for their lengths.
        tl.store(dscales_ptr + rows, along / tl.where(scales == 0.0, 1.0, scales), mask=row_there)


@triton.jit
def own_weight_gradient(
    x_ptr, w_ptr, y_ptr, order_ptr, scales_ptr, rows_ptr, upstream_ptr, dw_ptr,
    B, C, D, x_stride, w_stride, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Adds to dw what a steep margin's pull gives, in float64: of the rows of one class, which lie
    side by side in their order by label, one after another, by the program of the first of them."""
    place = tl.program_id(0)
    label = tl.load(y_ptr + tl.load(order_ptr + place))
    before = tl.load(y_ptr + tl.load(order_ptr + place - 1, mask=place > 0, other=0))
    if ((place == 0) | (before != label)) & (label >= 0) & (label < C):
        d = tl.arange(0, BLOCK_D)
        d_there = d < D
        w = tl.load(w_ptr + label * w_stride + d, mask=d_there, other=0.0)
        w = w.to(tl.float32).to(tl.float64)
        w_length = tl.sqrt(tl.sum(w * w, axis=0))
        inverse = tl.where(w_length == 0.0, 0.0, 1.0 / tl.where(w_length == 0.0, 1.0, w_length))
        w *= inverse
        sums = tl.zeros((BLOCK_D,), dtype=tl.float64)
        same = label
        while same == label:
            row = tl.load(order_ptr + place)
            x = tl.load(x_ptr + row * x_stride + d, mask=d_there, other=0.0)
            x = x.to(tl.float32).to(tl.float64)
            pull = tl.load(rows_ptr + 4 * B + row).to(tl.float64) * tl.load(upstream_ptr + row)
            if scales_ptr is not None:
                pull *= tl.load(scales_ptr + row)
            sums += pull * (x - tl.sum(x * w, axis=0) * w)
            place += 1
            after = tl.load(order_ptr + place, mask=place < B, other=0)
            same = tl.load(y_ptr + after, mask=place < B, other=-1)
        at = dw_ptr + label * D + d
        known = tl.load(at, mask=d_there, other=0.0).to(tl.float32).to(tl.float64)
        tl.store(at, (known + sums * inverse).to(tl.float32), mask=d_there)
