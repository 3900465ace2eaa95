"""The backward kernels of linear + log-sum-exp: see `linear_lse` for how they are put together.

`gradients` is one launch whatever the number of classes. Its programs take work items by a ticket:
of one range of classes after another, the blocks of coefficients, then the shares of dX and the
blocks of dW and db that read them. Ranges have the scratch in turn, one of `SLOTS` each, so that
neither waits for the item just before it. An item waits only for items of lower tickets, which are
held by programs that run already: it ends however few programs a GPU runs at once, and in
whatever order. Every sum has a fixed order, whichever program makes it.

Pointers beside those of `linear_lse_forward`, by role and shape:

upstream (B, float32): the gradient of the terms; peak (), the largest magnitude of what rows
are multiplied by (`largest_factor`); steepest (), the largest of inverse, or None where weights
keep their lengths or the dtype has float32's range;
coefficients (SLOTS x B x span, in the dtype of x): for a range of classes, the derivative of the
loss by each product x_i . w_j, over peak, over steepest, times SCALE, so that half precision
neither over- nor underflows; peak and steepest are rounded down to powers of two there, which costs
no rounding. Columns from the range's width up to a whole block are zero;
sums (SLOTS x row blocks x span, float32): sums over the rows of a block, for each column;
partial (splits x B x D, float32): sums over the columns of a split;
tickets (1 + 2 x ranges, int32): the next ticket; how many coefficient items of each range are done,
and how many of the others.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .linear_lse_forward import exponential, labels_of, products_of

# Ranges of classes that have a place in the scratch at a time. With three, the coefficients of one
# are made while the gradients of the one before it read theirs, and nothing waits for those of the
# one before that.
SLOTS: tl.constexpr = tl.constexpr(3)
# Slopes of a float16 coefficient stay finite up to here, times the scale.
STEEPEST_SLOPE: tl.constexpr = tl.constexpr(63.0)


@triton.jit
def scale_of(largest_ptr):
    """The largest power of two at or below a number; 1 for 0, infinity for NaN and infinity."""
    bits = tl.load(largest_ptr).to(tl.int32, bitcast=True) & 0x7F800000
    return tl.where(bits == 0, 1.0, bits.to(tl.float32, bitcast=True))


@triton.jit
def largest_factor(
    upstream_ptr, scales_ptr, rows_ptr, peak_ptr, tickets_ptr, B, counters,
    HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """peak: the largest |upstream x scale|, times how far a slope goes beyond what half precision
    holds; NaN if one is. And every counter at 0. One program."""
    place = tl.arange(0, BLOCK)
    largest = tl.zeros((BLOCK,), dtype=tl.int32)
    steepest = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, B, BLOCK):
        there = start + place < B
        factor = tl.load(upstream_ptr + start + place, mask=there, other=0.0)
        if scales_ptr is not None:
            factor *= tl.load(scales_ptr + start + place, mask=there, other=0.0)
        # Magnitudes have the order of their bits, and NaN's are above all others.
        largest = tl.maximum(largest, factor.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
        if HALF:
            pull = tl.load(rows_ptr + 2 * B + start + place, mask=there, other=0.0)
            steepest = tl.maximum(steepest, tl.abs(pull))
    peak = tl.max(largest, axis=0).to(tl.float32, bitcast=True)
    if HALF:
        peak *= tl.maximum(tl.max(steepest, axis=0) * (1.0 / STEEPEST_SLOPE), 1.0)
    tl.store(peak_ptr, peak)
    for start in range(0, counters, BLOCK):
        tl.store(tickets_ptr + start + place, 0, mask=start + place < counters)


@triton.jit
def _wait_for(count_ptr, count):
    """Until so many items are done; what they wrote is seen then."""
    done = count - 1
    while done < count:
        done = tl.atomic_add(count_ptr, 0, sem="acquire")


@triton.jit
def _is_done(count_ptr):
    """One more item: every thread's part of it first."""
    tl.debug_barrier()
    tl.atomic_add(count_ptr, 1, sem="release")


@triton.jit
def _coefficients(
    item, zero, x_ptr, w_ptr, y_ptr, bias_ptr, inverse_ptr, scales_ptr, rows_ptr, upstream_ptr,
    peak_ptr, steepest_ptr, coefficients_ptr, sums_ptr, B, C, D, first, width, span, x_stride,
    w_stride,
    SCALE: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """coefficients for the classes from ``first`` on, one block an item. ``zero`` is 0, as the
    compiler can't know: what hangs on it is made anew in each item, and takes no register between.

    sums (row blocks x span, float32) or None takes the block's column sums: with inverse, of
    coefficients times the plain logits of the unit weights (what dW has along w); else of the
    derivatives by the bias, over peak.
    """
    row_blocks = tl.cdiv(B, BLOCK_B)
    row_block = item % row_blocks
    rows = row_block * BLOCK_B + (zero + tl.arange(0, BLOCK_B))
    columns = (item // row_blocks) * BLOCK_C + (zero + tl.arange(0, BLOCK_C))
    classes = first + columns
    row_there = rows < B
    class_there = columns < width
    y = labels_of(y_ptr, rows, row_there, C)
    plain = products_of(
        x_ptr, w_ptr, rows, row_there, classes, class_there, zero + tl.arange(0, BLOCK_D), D,
        x_stride, w_stride, PRECISION, BLOCK_B, BLOCK_C, BLOCK_D,
    )  # fmt: skip
    top = tl.load(rows_ptr + rows, mask=row_there, other=0.0)
    share = tl.load(rows_ptr + B + rows, mask=row_there, other=0.0)
    pull = tl.load(rows_ptr + 2 * B + rows, mask=row_there, other=0.0)
    factor = tl.load(upstream_ptr + rows, mask=row_there, other=0.0)
    if inverse_ptr is not None:
        inverse = tl.load(inverse_ptr + classes, mask=class_there, other=0.0)
        plain *= inverse[None, :]
    logits = plain
    if scales_ptr is not None:
        scales = tl.load(scales_ptr + rows, mask=row_there, other=0.0)
        factor *= scales
        logits = plain * scales[:, None]
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + classes, mask=class_there, other=0.0).to(tl.float32)
        logits += bias[None, :]
    factor /= scale_of(peak_ptr)
    slopes = exponential(logits - top[:, None]) * (share * factor)[:, None]
    slopes = tl.where(classes[None, :] == y[:, None], (pull * factor)[:, None], slopes)
    slopes = tl.where(row_there[:, None] & class_there[None, :], slopes, 0.0)
    coefficients = slopes * SCALE
    if inverse_ptr is not None:
        if steepest_ptr is not None:
            inverse /= scale_of(steepest_ptr)
        coefficients *= inverse[None, :]
    rounded = coefficients.to(coefficients_ptr.dtype.element_ty)
    at = coefficients_ptr + rows.to(tl.int64)[:, None] * span + columns[None, :]
    tl.store(at, rounded, mask=row_there[:, None])
    if sums_ptr is not None:
        sums = slopes if inverse_ptr is None else rounded.to(tl.float32) * plain
        tl.store(sums_ptr + row_block.to(tl.int64) * span + columns, tl.sum(sums, axis=0))


@triton.jit
def _share_of_embedding_gradient(
    item, zero, coefficients_ptr, w_ptr, partial_ptr, B, D, first, width, span, each, w_stride,
    PRECISION: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Adds coefficients @ w to partial; each split owns ``each`` blocks of columns.

    The first range of classes sets the sums, the following ones add to them in their order.
    """
    d_blocks = tl.cdiv(D, BLOCK_D)
    row_blocks = tl.cdiv(B, BLOCK_B)
    tile = item // d_blocks
    split = tile // row_blocks
    rows = (tile % row_blocks) * BLOCK_B + (zero + tl.arange(0, BLOCK_B))
    d = (item % d_blocks) * BLOCK_D + (zero + tl.arange(0, BLOCK_D))
    row_there = rows < B
    d_there = d < D
    column = zero + tl.arange(0, BLOCK_C)
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


@triton.jit
def _weight_gradient(
    item, zero, coefficients_ptr, x_ptr, w_ptr, inverse_ptr, sums_ptr, peak_ptr, steepest_ptr,
    dw_ptr, db_ptr, B, D, first, width, span, sum_rows, x_stride, w_stride,
    SCALE: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_B: tl.constexpr,
):  # fmt: skip
    """dw (C x D, in the dtype of w) and db (C), each or None, for a range of classes.

    dw is coefficients^T @ x, for unit weights with its part along w taken off; the column sums
    come from sums (``sum_rows`` of them).
    """
    d_blocks = tl.cdiv(D, BLOCK_D)
    d_block = item % d_blocks
    columns = (item // d_blocks) * BLOCK_C + (zero + tl.arange(0, BLOCK_C))
    d = d_block * BLOCK_D + (zero + tl.arange(0, BLOCK_D))
    class_there = columns < width
    d_there = d < D
    classes = (first + columns).to(tl.int64)
    peak = scale_of(peak_ptr)
    column_sums = tl.zeros((BLOCK_C,), dtype=tl.float32)
    if sums_ptr is not None:
        sum_ptrs = sums_ptr + columns
        for _ in range(sum_rows):
            column_sums += tl.load(sum_ptrs, mask=class_there, other=0.0)
            sum_ptrs += span
    if db_ptr is not None:
        tl.store(db_ptr + classes, column_sums * peak, mask=class_there & (d_block == 0))
    if dw_ptr is not None:
        row = zero + tl.arange(0, BLOCK_B)
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
                unit *= scale_of(steepest_ptr)
                along = column_sums * inverse
                sums -= along[:, None] * tl.load(w_at, mask=there, other=0.0).to(tl.float32)
            else:
                # In this order: the sums hold inverse already, and its square may overflow.
                along = column_sums[:, None] * tl.load(w_at, mask=there, other=0.0).to(tl.float32)
                sums -= along * inverse[:, None]
        tl.store(dw_ptr + classes[:, None] * D + d[None, :], sums * unit, mask=there)


@triton.jit(do_not_specialize=["ranges", "items", "coefficient_items", "dx_items", "dw_items",
                               "each", "sum_rows"])  # fmt: skip
def gradients(
    x_ptr, w_ptr, y_ptr, bias_ptr, inverse_ptr, scales_ptr, rows_ptr, upstream_ptr, peak_ptr,
    steepest_ptr, coefficients_ptr, sums_ptr, partial_ptr, dw_ptr, db_ptr, tickets_ptr,
    B, C, D, span, x_stride, w_stride,
    ranges, items, coefficient_items, dx_items, dw_items, each, sum_rows,
    SCALE: tl.constexpr, PRECISION: tl.constexpr,
    LOGITS_B: tl.constexpr, LOGITS_C: tl.constexpr, LOGITS_D: tl.constexpr,
    DX_B: tl.constexpr, DX_D: tl.constexpr, DX_C: tl.constexpr,
    DW_C: tl.constexpr, DW_D: tl.constexpr, DW_B: tl.constexpr,
):  # fmt: skip
    """partial, dw and db: all ``items``, a ticket each.

    A step has the coefficients of a range and the gradients of the range before it; the first has
    no gradients, the last no coefficients.
    """
    gradient_items = dx_items + dw_items
    step_items = coefficient_items + gradient_items
    made_ptr = tickets_ptr + 1
    read_ptr = made_ptr + ranges
    ticket = tl.atomic_add(tickets_ptr, 1)
    while ticket < items:
        step = ticket // step_items
        item = ticket % step_items
        zero = tl.multiple_of(tl.minimum(ticket, 0), 128)
        if item < coefficient_items:
            if step < ranges:
                if step >= SLOTS:
                    _wait_for(read_ptr + step - SLOTS, gradient_items)
                slot = (step % SLOTS).to(tl.int64)
                first = step * span
                slot_sums_ptr = sums_ptr
                if sums_ptr is not None:
                    slot_sums_ptr = sums_ptr + slot * sum_rows * span
                _coefficients(
                    item, zero, x_ptr, w_ptr, y_ptr, bias_ptr, inverse_ptr, scales_ptr, rows_ptr,
                    upstream_ptr, peak_ptr, steepest_ptr, coefficients_ptr + slot * B * span,
                    slot_sums_ptr, B, C, D, first, tl.minimum(span, C - first), span, x_stride,
                    w_stride, SCALE, PRECISION, LOGITS_B, LOGITS_C, LOGITS_D,
                )  # fmt: skip
                _is_done(made_ptr + step)
        elif step > 0:
            before = step - 1
            _wait_for(made_ptr + before, coefficient_items)
            if before > 0:
                _wait_for(read_ptr + before - 1, gradient_items)
            slot = (before % SLOTS).to(tl.int64)
            first = before * span
            width = tl.minimum(span, C - first)
            slot_ptr = coefficients_ptr + slot * B * span
            if item < coefficient_items + dx_items and partial_ptr is not None:
                _share_of_embedding_gradient(
                    item - coefficient_items, zero, slot_ptr, w_ptr, partial_ptr, B, D, first,
                    width, span, each, w_stride, PRECISION, DX_B, DX_D, DX_C,
                )  # fmt: skip
            else:
                slot_sums_ptr = sums_ptr
                if sums_ptr is not None:
                    slot_sums_ptr = sums_ptr + slot * sum_rows * span
                _weight_gradient(
                    item - coefficient_items - dx_items, zero, slot_ptr, x_ptr, w_ptr, inverse_ptr,
                    slot_sums_ptr, peak_ptr, steepest_ptr, dw_ptr, db_ptr, B, D, first, width, span,
                    sum_rows, x_stride, w_stride, SCALE, PRECISION, DW_C, DW_D, DW_B,
                )  # fmt: skip
            _is_done(read_ptr + before)
        ticket = tl.atomic_add(tickets_ptr, 1)
