"""The forward kernels of linear + log-sum-exp: see `linear_lse` for how they are put together.

Pointers, by role and shape (contiguous unless a row stride is passed):

x (B x D) embeddings, w (C x D) class weights, y (B, int64) labels, bias (C) or None;
inverse (C, float32) 1 / ||w_j||, 0 for a norm of 0, or None where weights keep their lengths;
scales (B, float32), by which a row's products are multiplied, or None;
margins (B, float64), of each row, in the place of the first number, or None;
top and total (splits x B, float32): the largest logit beside the target's in a range of classes,
and the sum of exp(logit - top) there;
terms (B, float32), the loss of each row;
rows (4 x B, 6 x B of a steep margin, float32), for each row: top, the largest logit beside the
target's; share, by which exp(logit - top) is multiplied to be a probability; pull, the derivative
of the term by the target's plain logit; radial, what the margin adds to the derivative by x along
x: it is the factor of x, but for the square of its scale. Of a steep margin both are 0, and two
more follow: the pull, and the derivative of the term by the length of the scaled embedding at a
fixed angle; and with margins a third, the derivative by the row's own.
"""

from __future__ import annotations

import triton
import triton.language as tl

_LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)


@triton.jit
def products_of(
    x_ptr, w_ptr, rows, row_there, classes, class_there, d, D, x_stride, w_stride,
    PRECISION: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """x_i . w_j for a block of rows and a block of classes, 0 where either is not there; ``d`` are
    the numbers from 0 to BLOCK_D."""
    x_ptrs = x_ptr + rows.to(tl.int64)[:, None] * x_stride + d[None, :]
    w_ptrs = w_ptr + classes.to(tl.int64)[:, None] * w_stride + d[None, :]
    products = tl.zeros((BLOCK_B, BLOCK_C), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        d_there = start + d < D
        x = tl.load(x_ptrs + start, mask=row_there[:, None] & d_there[None, :], other=0.0)
        w = tl.load(w_ptrs + start, mask=class_there[:, None] & d_there[None, :], other=0.0)
        products = tl.dot(x, tl.trans(w), products, input_precision=PRECISION)
    return products


@triton.jit
def described_products(
    x_tiles, w_tiles, first_row, first_class, D,
    PRECISION: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """`products_of` by tensor descriptors: neither addresses nor masks take registers."""
    sums = tl.zeros((BLOCK_B, BLOCK_C), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        x, w = x_tiles.load([first_row, start]), w_tiles.load([first_class, start])
        sums = tl.dot(x, tl.trans(w), sums, input_precision=PRECISION)
    return sums


@triton.jit
def exponential(number):
    """e^number in float32, by the one instruction that a GPU has for it: what `tl.exp` does beside
    it, for results below 1e-38, takes three more."""
    return tl.exp2(number * _LOG2_E)


@triton.jit
def labels_of(y_ptr, rows, row_there, C):
    """Labels as int32; -1, which no class has, where the row isn't there or its label isn't."""
    y = tl.load(y_ptr + rows, mask=row_there, other=-1)
    return tl.where((y >= 0) & (y < C), y, -1).to(tl.int32)


@triton.jit
def inverse_lengths(
    w_ptr, inverse_ptr, C, D, w_stride, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr
):
    """inverse from w, one block of classes a program."""
    classes = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    class_there = classes < C
    d = tl.arange(0, BLOCK_D)
    w_ptrs = w_ptr + classes.to(tl.int64)[:, None] * w_stride + d[None, :]
    # In float64, which holds the squares of all float32: theirs leave it beyond 1e19 and 1e-19.
    squares = tl.zeros((BLOCK_C, BLOCK_D), dtype=tl.float64)
    for start in range(0, D, BLOCK_D):
        there = class_there[:, None] & (start + d < D)[None, :]
        w = tl.load(w_ptrs + start, mask=there, other=0.0).to(tl.float32).to(tl.float64)
        squares += w * w
    length = tl.sqrt(tl.sum(squares, axis=1))
    # Compared with 0 alone, so that a NaN stays one.
    inverse = tl.where(length == 0, 0.0, 1.0 / tl.where(length == 0, 1.0, length))
    tl.store(inverse_ptr + classes, inverse.to(tl.float32), mask=class_there)


@triton.jit(do_not_specialize=["blocks_each"])
def stream(
    x_ptr, w_ptr, y_ptr, bias_ptr, inverse_ptr, scales_ptr, top_ptr, total_ptr,
    B, C, D, x_stride, w_stride, blocks_each, DESCRIPTORS: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """top and total of a block of rows over ``blocks_each`` blocks of classes, the target left out.

    Programs of the same classes follow one another, so that the class weights come from memory
    once and then from the cache. With ``DESCRIPTORS`` x and w begin at multiples of 16 bytes, and
    so do their rows.
    """
    row_blocks = tl.cdiv(B, BLOCK_B)
    split = tl.program_id(0) // row_blocks
    first_row = (tl.program_id(0) % row_blocks) * BLOCK_B
    rows = first_row + tl.arange(0, BLOCK_B)
    row_there = rows < B
    y = labels_of(y_ptr, rows, row_there, C)
    if scales_ptr is not None:
        scales = tl.load(scales_ptr + rows, mask=row_there, other=0.0)
    if DESCRIPTORS:
        x_tiles = tl.make_tensor_descriptor(x_ptr, [B, D], [x_stride, 1], [BLOCK_B, BLOCK_D])
        w_tiles = tl.make_tensor_descriptor(w_ptr, [C, D], [w_stride, 1], [BLOCK_C, BLOCK_D])
    top = tl.full((BLOCK_B,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_B,), dtype=tl.float32)
    last = tl.minimum((split + 1) * blocks_each, tl.cdiv(C, BLOCK_C))
    for block in range(split * blocks_each, last):
        classes = block * BLOCK_C + tl.arange(0, BLOCK_C)
        class_there = classes < C
        if DESCRIPTORS:
            logits = described_products(
                x_tiles, w_tiles, first_row, block * BLOCK_C, D,
                PRECISION, BLOCK_B, BLOCK_C, BLOCK_D,
            )  # fmt: skip
        else:
            logits = products_of(
                x_ptr, w_ptr, rows, row_there, classes, class_there, tl.arange(0, BLOCK_D), D,
                x_stride, w_stride, PRECISION, BLOCK_B, BLOCK_C, BLOCK_D,
            )  # fmt: skip
        if inverse_ptr is not None:
            logits *= tl.load(inverse_ptr + classes, mask=class_there, other=0.0)[None, :]
        if scales_ptr is not None:
            logits *= scales[:, None]
        counted = classes[None, :] != y[:, None]
        if bias_ptr is None:
            counted &= class_there[None, :]
        logits = tl.where(counted, logits, float("-inf"))
        if bias_ptr is not None:
            # That of a class that isn't there leaves it out: no comparison is needed.
            bias = tl.load(bias_ptr + classes, mask=class_there, other=float("-inf"))
            logits += bias.to(tl.float32)[None, :]
        higher = tl.maximum(top, tl.max(logits, axis=1))
        # Where nothing finite has come yet, exp(-inf - 0) = 0 is meant, not exp(-inf + inf).
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * exponential(top - base)
        total += tl.sum(exponential(logits - base[:, None]), axis=1)
        top = higher
    tl.store(top_ptr + split.to(tl.int64) * B + rows, top, mask=row_there)
    tl.store(total_ptr + split.to(tl.int64) * B + rows, total, mask=row_there)


@triton.jit
def plain_targets(
    x_ptr, w_ptr, bias_ptr, inverse_ptr, scales_ptr, rows, row_there, y, valid, D, x_stride,
    w_stride, PRECISION: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The target's logit for a block of rows: the diagonal of a product with the rows' own classes.

    It has to be rounded as `stream` rounds logits, which may equal it: by another sum, where logits
    are large, it would differ from them, and all probabilities of the row be off by a factor.
    """
    products = products_of(
        x_ptr, w_ptr, rows, row_there, y, valid, tl.arange(0, BLOCK_D), D, x_stride, w_stride,
        PRECISION, BLOCK_B, BLOCK_B, BLOCK_D,
    )  # fmt: skip
    place = tl.arange(0, BLOCK_B)
    target = tl.sum(tl.where(place[:, None] == place[None, :], products, 0.0), axis=1)
    if inverse_ptr is not None:
        target *= tl.load(inverse_ptr + y, mask=valid, other=0.0)
    if scales_ptr is not None:
        target *= tl.load(scales_ptr + rows, mask=row_there, other=0.0)
    if bias_ptr is not None:
        target += tl.load(bias_ptr + y, mask=valid, other=0.0).to(tl.float32)
    return target


@triton.jit
def own_products(
    x_ptr, w_ptr, rows, row_there, y, valid, D, x_stride, w_stride,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """x . w, x . x and w . w of a block of rows and their own class weights, in float64: where a
    margin is flat, or steep, its slope hangs on the last digits of the cosine."""
    d = tl.arange(0, BLOCK_D)
    x_ptrs = x_ptr + rows.to(tl.int64)[:, None] * x_stride + d[None, :]
    w_ptrs = w_ptr + y.to(tl.int64)[:, None] * w_stride + d[None, :]
    inner = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float64)
    x_square = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float64)
    w_square = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float64)
    for start in range(0, D, BLOCK_D):
        d_there = (start + d < D)[None, :]
        x = tl.load(x_ptrs + start, mask=row_there[:, None] & d_there, other=0.0)
        w = tl.load(w_ptrs + start, mask=valid[:, None] & d_there, other=0.0)
        x, w = x.to(tl.float32).to(tl.float64), w.to(tl.float32).to(tl.float64)
        inner += x * w
        x_square += x * x
        w_square += w * w
    return tl.sum(inner, axis=1), tl.sum(x_square, axis=1), tl.sum(w_square, axis=1)


@triton.jit
def targets_with_margin(
    x_ptr, w_ptr, inverse_ptr, scales_ptr, margins_ptr, rows, row_there, y, valid, D, x_stride,
    w_stride, first, second, third, first_rest, second_rest, third_rest,
    MARGIN_FUNCTION: tl.constexpr, MARGIN: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The length of the scaled embedding, the target's logit with the margin, the margin's slope
    and radial part, and the derivative by the row's own margin (0 without), for a block of rows, in
    float64. A head with a margin has no bias."""
    plain, length, w_length = own_products(
        x_ptr, w_ptr, rows, row_there, y, valid, D, x_stride, w_stride, BLOCK_B, BLOCK_D
    )
    length, w_length = tl.sqrt(length), tl.sqrt(w_length)
    if inverse_ptr is not None:
        plain /= tl.where(w_length == 0, 1.0, w_length)
    if scales_ptr is not None:
        scales = tl.load(scales_ptr + rows, mask=row_there, other=0.0).to(tl.float64)
        plain *= scales
        length *= scales
    # A number comes in two parts of float32: one alone would be rounded, and be taken 64 times.
    none = tl.zeros((BLOCK_B,), dtype=tl.float64)
    second, third = none + second + second_rest, none + third + third_rest
    if margins_ptr is None:
        target, slope, radial = MARGIN_FUNCTION(
            plain, length, none + first + first_rest, second, third, MARGIN
        )
        by_margin = none
    else:
        own = tl.load(margins_ptr + rows, mask=row_there, other=0.0)
        target, slope, radial, by_margin = MARGIN_FUNCTION(
            plain, length, own, second, third, MARGIN
        )
    return length, target, slope, radial, by_margin


@triton.jit
def log_of_one_more(rest):
    """log(1 + rest): where rest is small by the series of 2 atanh(rest / (2 + rest)), for of a
    rounded sum near 1 the logarithm is 0."""
    part = rest / (2.0 + rest)
    square = part * part
    series = 2.0 * part * (1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square / 7.0)))
    return tl.where(rest < 0.25, series, tl.log(1.0 + rest))


@triton.jit(do_not_specialize=["splits"])
def rows_of_terms(
    x_ptr, w_ptr, y_ptr, bias_ptr, inverse_ptr, scales_ptr, margins_ptr, top_ptr, total_ptr,
    terms_ptr, rows_ptr, B, C, D, x_stride, w_stride, splits, first, second, third,
    first_rest, second_rest, third_rest,
    MARGIN_FUNCTION: tl.constexpr, MARGIN: tl.constexpr, STEEP: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """terms (B, float32) and rows from top and total, with the target's logit put in."""
    rows = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    row_there = rows < B
    y = labels_of(y_ptr, rows, row_there, C)
    valid = y >= 0
    if MARGIN_FUNCTION is None:
        target = plain_targets(
            x_ptr, w_ptr, bias_ptr, inverse_ptr, scales_ptr, rows, row_there, y, valid, D, x_stride,
            w_stride, PRECISION, BLOCK_B, BLOCK_D,
        )  # fmt: skip
        slope = tl.full((BLOCK_B,), 1.0, dtype=tl.float32)
        radial = tl.zeros((BLOCK_B,), dtype=tl.float32)
    else:
        length, target, slope, radial, by_margin = targets_with_margin(
            x_ptr, w_ptr, inverse_ptr, scales_ptr, margins_ptr, rows, row_there, y, valid, D,
            x_stride, w_stride, first, second, third, first_rest, second_rest, third_rest,
            MARGIN_FUNCTION, MARGIN, BLOCK_B, BLOCK_D,
        )  # fmt: skip
    target = tl.where(valid, target, float("nan"))

    top = tl.full((BLOCK_B,), float("-inf"), dtype=tl.float32)
    rest = tl.zeros((BLOCK_B,), dtype=tl.float32)
    at = rows.to(tl.int64)
    for _ in range(splits):
        part_top = tl.load(top_ptr + at, mask=row_there, other=0.0)
        part = tl.load(total_ptr + at, mask=row_there, other=0.0)
        higher = tl.maximum(top, part_top)
        base = tl.where(higher == float("-inf"), 0.0, higher)
        rest = rest * exponential(top - base) + part * exponential(part_top - base)
        top = higher
        at += B
    # In float64: rounded to float32, a lead of 40 would cost its exponential five digits.
    lead = target.to(tl.float64) - top.to(tl.float64)
    ahead = lead >= 0.0
    behind = tl.exp(-tl.abs(lead)).to(tl.float32)
    rest *= tl.where(ahead, behind, 1.0)
    total = rest + tl.where(ahead, 1.0, behind)
    term = tl.where(ahead, log_of_one_more(rest), tl.log(total) - lead.to(tl.float32))
    # The target's probability less one, without the cancellation.
    miss = -rest / total
    # An infinite logit has no loss: not a number.
    tl.store(terms_ptr + rows, term + 0.0 * target.to(tl.float32), mask=row_there)
    tl.store(rows_ptr + rows, top, mask=row_there)
    tl.store(rows_ptr + B + rows, tl.where(ahead, behind, 1.0) / total, mask=row_there)
    if STEEP:
        # Not in the products, where a steep slope would multiply the rounding of a direction.
        tl.store(rows_ptr + 2 * B + rows, tl.zeros((BLOCK_B,), tl.float32), mask=row_there)
        tl.store(rows_ptr + 3 * B + rows, tl.zeros((BLOCK_B,), tl.float32), mask=row_there)
        along = target / tl.where(length == 0.0, 1.0, length)
        tl.store(rows_ptr + 4 * B + rows, miss * slope, mask=row_there)
        tl.store(rows_ptr + 5 * B + rows, miss * along, mask=row_there)
        if margins_ptr is not None:
            tl.store(rows_ptr + 6 * B + rows, miss * by_margin, mask=row_there)
    else:
        tl.store(rows_ptr + 2 * B + rows, miss * slope, mask=row_there)
        tl.store(rows_ptr + 3 * B + rows, miss * radial, mask=row_there)
