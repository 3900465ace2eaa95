"""The backward kernels of linear + log-sum-exp: see `linear_lse` for how they are put together.

Pointers beside those of `linear_lse_forward`, by role and shape:

upstream (B, float32); peak (), its largest magnitude; steepest (), the largest of inverse, or None
where weights keep their lengths or the dtype has float32's range;
coefficients (B x span, in the dtype of x): for a range of classes, the derivative of the loss by
each product x_i . w_j, over peak, over steepest, times SCALE, so that half precision neither over-
nor underflows; peak and steepest are rounded down to powers of two there, which costs no rounding.
Columns from the range's width up to a whole block are zero;
sums (row blocks x span, float32): sums over the rows of a block, for each column;
partial (splits x B x D, float32): sums over the columns of a split.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .linear_lse_forward import labels_of, products_of


@triton.jit
def _scale_of(largest_ptr):
    """The largest power of two at or below a number; 1 for 0, infinity for NaN and infinity."""
    bits = tl.load(largest_ptr).to(tl.int32, bitcast=True) & 0x7F800000
    return tl.where(bits == 0, 1.0, bits.to(tl.float32, bitcast=True))


@triton.jit(do_not_specialize=["first", "width"])
def coefficients_of_range(
    x_ptr, w_ptr, y_ptr, bias_ptr, inverse_ptr, rows_ptr, upstream_ptr, peak_ptr, steepest_ptr,
    coefficients_ptr, sums_ptr, B, C, D, first, width, span, x_stride, w_stride,
    SCALE: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """coefficients for the classes from ``first`` on, one block a program.

    sums (row blocks x span, float32) or None takes the block's column sums: with inverse, of
    coefficients times the plain logits of the unit weights (what dW has along w); else of the
    derivatives by the bias, over peak.
    """
    row_blocks = tl.cdiv(B, BLOCK_B)
    row_block = tl.program_id(0) % row_blocks
    rows = row_block * BLOCK_B + tl.arange(0, BLOCK_B)
    columns = (tl.program_id(0) // row_blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    classes = first + columns
    row_there = rows < B
    class_there = columns < width
    y = labels_of(y_ptr, rows, row_there, C)
    plain = products_of(
        x_ptr, w_ptr, rows, row_there, classes, class_there, D, x_stride, w_stride,
        PRECISION, BLOCK_B, BLOCK_C, BLOCK_D,
    )  # fmt: skip
    top = tl.load(rows_ptr + rows, mask=row_there, other=0.0)
    share = tl.load(rows_ptr + B + rows, mask=row_there, other=0.0)
    pull = tl.load(rows_ptr + 2 * B + rows, mask=row_there, other=0.0)
    upstream = tl.load(upstream_ptr + rows, mask=row_there, other=0.0)
    upstream /= _scale_of(peak_ptr)
    if inverse_ptr is not None:
        inverse = tl.load(inverse_ptr + classes, mask=class_there, other=0.0)
        plain *= inverse[None, :]
    logits = plain
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + classes, mask=class_there, other=0.0).to(tl.float32)
        logits += bias[None, :]
    slopes = tl.exp(logits - top[:, None]) * share[:, None]
    slopes = tl.where(classes[None, :] == y[:, None], pull[:, None], slopes) * upstream[:, None]
    slopes = tl.where(row_there[:, None] & class_there[None, :], slopes, 0.0)
    coefficients = slopes * SCALE
    if inverse_ptr is not None:
        if steepest_ptr is not None:
            inverse /= _scale_of(steepest_ptr)
        coefficients *= inverse[None, :]
    rounded = coefficients.to(coefficients_ptr.dtype.element_ty)
    at = coefficients_ptr + rows.to(tl.int64)[:, None] * span + columns[None, :]
    tl.store(at, rounded, mask=row_there[:, None])
    if sums_ptr is not None:
        sums = slopes if inverse_ptr is None else rounded.to(tl.float32) * plain
        tl.store(sums_ptr + row_block.to(tl.int64) * span + columns, tl.sum(sums, axis=0))


@triton.jit(do_not_specialize=["first", "width", "each"])
def embedding_gradient_of_range(
    coefficients_ptr, w_ptr, partial_ptr, B, D, first, width, span, each, w_stride,
    PRECISION: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Adds coefficients @ w to partial; each split owns ``each`` blocks of columns.

    The first range of classes sets the sums, the following ones add to them in their order.
    """
    d_blocks = tl.cdiv(D, BLOCK_D)
    row_blocks = tl.cdiv(B, BLOCK_B)
    tile = tl.program_id(0) // d_blocks
    split = tile // row_blocks
    rows = (tile % row_blocks) * BLOCK_B + tl.arange(0, BLOCK_B)
    d = (tl.program_id(0) % d_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    row_there = rows < B
    d_there = d < D
    column = tl.arange(0, BLOCK_C)
    coefficient_ptrs = coefficients_ptr + rows.to(tl.int64)[:, None] * span + column[None, :]
    sums = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float32)
    last = tl.minimum((split + 1) * each, tl.cdiv(width, BLOCK_C))
    for block in range(split * each, last):
        # A multiple of the block as the compiler sees, so that loads are wide.
        start = block * BLOCK_C
        class_there = start + column < width
        coefficients = tl.load(coefficient_ptrs + start, mask=row_there[:, None], other=0.0)
        classes = (first + start + column).to(tl.int64)
        w_ptrs = w_ptr + classes[:, None] * w_stride + d[None, :]
        w = tl.load(w_ptrs, mask=class_there[:, None] & d_there[None, :], other=0.0)
        sums = tl.dot(coefficients, w, sums, input_precision=PRECISION)
    there = row_there[:, None] & d_there[None, :]
    at = partial_ptr + (split.to(tl.int64) * B + rows)[:, None] * D + d[None, :]
    sums += tl.load(at, mask=there & (first > 0), other=0.0)
    tl.store(at, sums, mask=there)


@triton.jit(do_not_specialize=["splits"])
def embedding_gradient(
    partial_ptr, x_ptr, rows_ptr, upstream_ptr, peak_ptr, steepest_ptr, dx_ptr,
    B, D, splits, x_stride, SCALE: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """dx (B x D, in the dtype of x) from the partial sums and the margin's radial part."""
    d_blocks = tl.cdiv(D, BLOCK_D)
    rows = (tl.program_id(0) // d_blocks) * BLOCK_B + tl.arange(0, BLOCK_B)
    d = (tl.program_id(0) % d_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    row_there = rows < B
    there = row_there[:, None] & (d < D)[None, :]
    sums = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float32)
    at = rows.to(tl.int64)
    for _ in range(splits):
        sums += tl.load(partial_ptr + at[:, None] * D + d[None, :], mask=there, other=0.0)
        at += B
    unit = _scale_of(peak_ptr) / SCALE
    if steepest_ptr is not None:
        unit *= _scale_of(steepest_ptr)
    radial = tl.load(rows_ptr + 3 * B + rows, mask=row_there, other=0.0)
    upstream = tl.load(upstream_ptr + rows, mask=row_there, other=0.0)
    x_at = x_ptr + rows.to(tl.int64)[:, None] * x_stride + d[None, :]
    x = tl.load(x_at, mask=there, other=0.0).to(tl.float32)
    dx = sums * unit + (upstream * radial)[:, None] * x
    tl.store(dx_ptr + rows.to(tl.int64)[:, None] * D + d[None, :], dx, mask=there)


@triton.jit(do_not_specialize=["first", "width"])
def weight_gradient_of_range(
    coefficients_ptr, x_ptr, w_ptr, inverse_ptr, sums_ptr, peak_ptr, steepest_ptr, dw_ptr, db_ptr,
    B, D, first, width, span, sum_rows, x_stride, w_stride,
    SCALE: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_B: tl.constexpr,
):  # fmt: skip
    """dw (C x D, in the dtype of w) and db (C), each or None, for a range of classes.

    dw is coefficients^T @ x, for unit weights with its part along w taken off; the column sums
    come from sums (``sum_rows`` of them).
    """
    d_blocks = tl.cdiv(D, BLOCK_D)
    d_block = tl.program_id(0) % d_blocks
    columns = (tl.program_id(0) // d_blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    d = d_block * BLOCK_D + tl.arange(0, BLOCK_D)
    class_there = columns < width
    d_there = d < D
    classes = (first + columns).to(tl.int64)
    peak = _scale_of(peak_ptr)
    column_sums = tl.zeros((BLOCK_C,), dtype=tl.float32)
    if sums_ptr is not None:
        sum_ptrs = sums_ptr + columns
        for _ in range(sum_rows):
            column_sums += tl.load(sum_ptrs, mask=class_there, other=0.0)
            sum_ptrs += span
    if db_ptr is not None:
        tl.store(db_ptr + classes, column_sums * peak, mask=class_there & (d_block == 0))
    if dw_ptr is not None:
        row = tl.arange(0, BLOCK_B)
        sums = tl.zeros((BLOCK_C, BLOCK_D), dtype=tl.float32)
        for start in range(0, B, BLOCK_B):
            rows = (start + row).to(tl.int64)
            row_there = (rows < B)[:, None]
            at = coefficients_ptr + rows[:, None] * span + columns[None, :]
            coefficients = tl.load(at, mask=row_there, other=0.0)
            x_at = x_ptr + rows[:, None] * x_stride + d[None, :]
            x = tl.load(x_at, mask=row_there & d_there[None, :], other=0.0)
            sums = tl.dot(tl.trans(coefficients), x, sums, input_precision=PRECISION)
        there = class_there[:, None] & d_there[None, :]
        unit = peak / SCALE
        if inverse_ptr is not None:
            inverse = tl.load(inverse_ptr + classes, mask=class_there, other=0.0)
            w_at = w_ptr + classes[:, None] * w_stride + d[None, :]
            if steepest_ptr is not None:
                unit *= _scale_of(steepest_ptr)
                along = column_sums * inverse
                sums -= along[:, None] * tl.load(w_at, mask=there, other=0.0).to(tl.float32)
            else:
                # In this order: the sums hold inverse already, and its square may overflow.
                along = column_sums[:, None] * tl.load(w_at, mask=there, other=0.0).to(tl.float32)
                sums -= along * inverse[:, None]
        tl.store(dw_ptr + classes[:, None] * D + d[None, :], sums * unit, mask=there)
