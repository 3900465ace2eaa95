"""The center loss in Triton: the gathered distance, its gradient, and the centers' own step.

Pointers, by role and shape: x (B x D) embeddings, c (C x D) centers, y (B, int64) labels; terms
and upstream (B, float32); dx (B x D) and new (C x D) in the dtype of x and c; order (B, int64),
the rows sorted by label, and starts (C + 1, int64), where each class begins in it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..checks import check_number, check_reduction
from ..machines.launching import blocks, check_fused, launch, power_of_two, row_major
from ..machines.operators import differentiable, operator
from ..machines.reduction import reduce
from ..softmax.fused import head
from .eager import check_centers, check_joint

# Bound by memory: a program takes 16 rows in strips of D.
ROWS = 16


@triton.jit
def half_squared_distances(
    x_ptr, c_ptr, y_ptr, terms_ptr, B, C, D, x_stride, c_stride,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """terms: ||x_i - c_{y_i}||^2 / 2, NaN where the label is out of range."""
    rows = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    row_there = rows < B
    y = tl.load(y_ptr + rows, mask=row_there, other=0)
    valid = row_there & (y >= 0) & (y < C)
    y = tl.where(valid, y, 0)
    d = tl.arange(0, BLOCK_D)
    x_ptrs = x_ptr + rows.to(tl.int64)[:, None] * x_stride + d[None, :]
    c_ptrs = c_ptr + y[:, None] * c_stride + d[None, :]
    squares = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        there = valid[:, None] & (start + d < D)[None, :]
        x = tl.load(x_ptrs + start, mask=there, other=0.0).to(tl.float32)
        c = tl.load(c_ptrs + start, mask=there, other=0.0).to(tl.float32)
        squares += (x - c) * (x - c)
    terms = tl.where(valid, 0.5 * tl.sum(squares, axis=1), float("nan"))
    tl.store(terms_ptr + rows, terms, mask=row_there)


@triton.jit
def distance_gradient(
    x_ptr, c_ptr, y_ptr, upstream_ptr, dx_ptr, B, C, D, x_stride, c_stride,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """dx: upstream_i (x_i - c_{y_i}), NaN where the label is out of range."""
    d_blocks = tl.cdiv(D, BLOCK_D)
    rows = (tl.program_id(0) // d_blocks) * BLOCK_B + tl.arange(0, BLOCK_B)
    d = (tl.program_id(0) % d_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    row_there = rows < B
    d_there = (d < D)[None, :]
    y = tl.load(y_ptr + rows, mask=row_there, other=0)
    valid = row_there & (y >= 0) & (y < C)
    y = tl.where(valid, y, 0)
    at = rows.to(tl.int64)[:, None]
    x = tl.load(x_ptr + at * x_stride + d[None, :], mask=row_there[:, None] & d_there, other=0.0)
    c_at = c_ptr + y[:, None] * c_stride + d[None, :]
    c = tl.load(c_at, mask=valid[:, None] & d_there, other=0.0)
    upstream = tl.load(upstream_ptr + rows, mask=row_there, other=0.0)
    dx = upstream[:, None] * (x.to(tl.float32) - c.to(tl.float32))
    dx = tl.where(valid[:, None], dx, float("nan"))
    tl.store(dx_ptr + at * D + d[None, :], dx, mask=row_there[:, None] & d_there)


@triton.jit
def class_steps(
    x_ptr, c_ptr, order_ptr, starts_ptr, new_ptr, B, C, D, x_stride, c_stride, alpha,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """new: one class and strip of D a program, its rows summed in their order."""
    d_blocks = tl.cdiv(D, BLOCK_D)
    j = tl.program_id(0) // d_blocks
    d = (tl.program_id(0) % d_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    d_there = d < D
    begin = tl.load(starts_ptr + j)
    end = tl.load(starts_ptr + j + 1)
    # Labels below 0 are sorted before the first class, labels too large behind the last.
    every_label_valid = (tl.load(starts_ptr) == 0) & (tl.load(starts_ptr + C) == B)
    row = tl.arange(0, BLOCK_B)
    c_at = c_ptr + j.to(tl.int64) * c_stride + d
    old = tl.load(c_at, mask=d_there, other=0.0).to(tl.float32)
    pull = tl.zeros((BLOCK_B, BLOCK_D), dtype=tl.float32)
    for start in range(begin, end, BLOCK_B):
        row_there = start + row < end
        i = tl.load(order_ptr + start + row, mask=row_there, other=0)
        there = row_there[:, None] & d_there[None, :]
        x = tl.load(x_ptr + i[:, None] * x_stride + d[None, :], mask=there, other=0.0)
        pull += tl.where(there, old[None, :] - x.to(tl.float32), 0.0)
    count = (end - begin).to(tl.float32)
    new = old - alpha * tl.sum(pull, axis=0) / (1.0 + count)
    new = tl.where(every_label_valid, new, float("nan"))
    tl.store(new_ptr + j.to(tl.int64) * D + d, new, mask=d_there)


def _term_shape(embeddings, labels, centers):
    return embeddings.new_empty(embeddings.shape[0], dtype=torch.float32)


@operator("center_terms", fake=_term_shape)
def _terms(embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    x_BD, c_CD = row_major(embeddings), row_major(centers)
    B, D = x_BD.shape
    terms_B = x_BD.new_empty(B, dtype=torch.float32)
    launch(
        half_squared_distances, blocks(B, ROWS),
        x_ptr=x_BD, c_ptr=c_CD, y_ptr=labels.contiguous(), terms_ptr=terms_B,
        B=B, C=c_CD.shape[0], D=D, x_stride=x_BD.stride(0), c_stride=c_CD.stride(0),
        BLOCK_B=ROWS, BLOCK_D=power_of_two(D, 16, 128),
    )  # fmt: skip
    return terms_B


@operator("center_gradient", fake=lambda upstream, x, y, c: x.new_empty(x.shape))
def _gradient(upstream: Tensor, embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    x_BD, c_CD = row_major(embeddings), row_major(centers)
    B, D = x_BD.shape
    wide = power_of_two(D, 16, 128)
    dx_BD = x_BD.new_empty(B, D)
    launch(
        distance_gradient, blocks(B, ROWS) * blocks(D, wide),
        x_ptr=x_BD, c_ptr=c_CD, y_ptr=labels.contiguous(), upstream_ptr=upstream.contiguous(),
        dx_ptr=dx_BD, B=B, C=c_CD.shape[0], D=D,
        x_stride=x_BD.stride(0), c_stride=c_CD.stride(0), BLOCK_B=ROWS, BLOCK_D=wide,
    )  # fmt: skip
    return dx_BD


@operator("center_update", fake=lambda embeddings, labels, centers, alpha: centers.new_empty(
    centers.shape))  # fmt: skip
def _update(embeddings: Tensor, labels: Tensor, centers: Tensor, alpha: float) -> Tensor:
    x_BD, c_CD = row_major(embeddings), row_major(centers)
    (B, D), C = x_BD.shape, c_CD.shape[0]
    sorted_B, order_B = labels.sort(stable=True)
    edges = torch.arange(C + 1, device=labels.device)
    wide = power_of_two(D, 16, 128)
    new_CD = c_CD.new_empty(C, D)
    launch(
        class_steps, C * blocks(D, wide),
        x_ptr=x_BD, c_ptr=c_CD, order_ptr=order_B,
        starts_ptr=torch.searchsorted(sorted_B, edges), new_ptr=new_CD,
        B=B, C=C, D=D, x_stride=x_BD.stride(0), c_stride=c_CD.stride(0), alpha=alpha,
        BLOCK_B=ROWS, BLOCK_D=wide,
    )  # fmt: skip
    return new_CD


differentiable(
    _terms,
    backward=lambda ctx, upstream_B: (_gradient(upstream_B, *ctx.saved_tensors), None, None),
    save=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


def joint(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    centers: Tensor,
    weight: float = 0.003,
    reduction: str = "mean",
) -> Tensor:
    """The softmax loss plus weight/2 ||x_i - c_{y_i}||^2 (Wen et al. 2016, equation 5).

    embeddings (B x D), labels (B, int64 in [0, C)), class_weights (C x D), bias (C) or None,
    centers (C x D), which take no gradient, in float32, bfloat16 or float16, on a GPU (or in
    Triton's interpreter); weight (lambda) >= 0. Mean divides by B. Differentiable once.
    Returns float32: (B,) for reduction ``none``, else a scalar. Raises InputError naming the
    argument; what the GPU only can see (a label out of range, a NaN) makes the loss NaN.
    """
    check_joint(embeddings, labels, class_weights, bias, centers, weight)
    check_fused(embeddings)
    check_reduction(reduction)
    softmax_B = head(embeddings, labels, class_weights, bias)
    return reduce(softmax_B + weight * _terms(embeddings, labels, centers.detach()), reduction)


def term(embeddings: Tensor, labels: Tensor, centers: Tensor, *, reduction: str = "mean") -> Tensor:
    """||x_i - c_{y_i}||^2 / 2 (Wen et al. 2016, equation 2); mean divides by B.

    Arguments, result and errors as `joint`'s.
    """
    check_centers(embeddings, labels, centers)
    check_fused(embeddings)
    check_reduction(reduction)
    return reduce(_terms(embeddings, labels, centers.detach()), reduction)


@torch.no_grad()
def update(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    alpha: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """c_j - alpha sum_i [y_i = j](c_j - x_i) / (1 + n_j) (Wen et al. 2016, equation 4).

    embeddings (B x D), labels (B, int64 in [0, C)), centers (C x D); alpha in [0, 1]. Returns new
    centers (C x D) in the centers' dtype, without a gradient; the old ones stay as they are. The
    same bits every time: rows are sorted by label and each class sums its own in their order.
    ``reduction`` is checked and changes nothing. Raises InputError naming the argument; a label
    out of range on a GPU makes every center NaN.
    """
    check_centers(embeddings, labels, centers)
    check_fused(embeddings)
    check_number("alpha", alpha, 0, high=1)
    check_reduction(reduction)
    return _update(embeddings, labels, centers, float(alpha))
