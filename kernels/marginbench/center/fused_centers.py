"""Center loss: the gathered distance, its gradient, and the centers' own step, in two launches.

`terms_and_steps` makes the terms and the new centers, `distance_gradient` the gradient. No sort and
no atomics: a program owns a block of classes and goes through all labels, in their order, for those
that are its own, so that the same input gives the same bits. Reading the labels (8 B bytes from the
cache a program) costs nothing beside the centers where C D is large against B; where B is some
tens of thousands and C small, it is what the step waits for.

Pointers, by role and shape: x (B x D) embeddings, c (C x D) centers, y (B, int64) labels; terms
and upstream (B, float32); dx (B x D) and new (C x D) in the dtype of x and c.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..shared.launching import blocks, launch, power_of_two, row_major
from ..shared.operators import differentiable, operator
from ..shared.pairwise import first_set

# Bound by memory: a program takes 16 rows in strips of D.
ROWS = 16
# A step's program, small enough to spill on no target: so many classes where there are at least
# MANY, so that the programs still fill a GPU, else one; labels at a time; columns of D.
CLASSES, MANY, LABELS, STRIP = 16, 4096, 64, 32


@triton.jit
def _half_squared_distances(
    program, x_ptr, c_ptr, y_ptr, terms_ptr, B, C, D, x_stride, c_stride,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """terms: ||x_i - c_{y_i}||^2 / 2, NaN where the label is out of range."""
    rows = program * BLOCK_B + tl.arange(0, BLOCK_B)
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
def _class_steps(
    program, x_ptr, c_ptr, y_ptr, new_ptr, B, C, D, x_stride, c_stride, alpha,
    BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """new, for a block of classes and a strip of D: labels are gone through in their order, and
    where some belong to the block, its classes that occur sum their rows one after the other."""
    d_blocks = tl.cdiv(D, BLOCK_D)
    first = (program // d_blocks) * BLOCK_C
    d = (program % d_blocks) * BLOCK_D + tl.arange(0, BLOCK_D)
    d_there = (d < D)[None, :]
    place = tl.arange(0, BLOCK_C)
    classes = (first + place).to(tl.int64)
    there = (classes < C)[:, None] & d_there
    old = tl.load(c_ptr + classes[:, None] * c_stride + d[None, :], mask=there, other=0.0)
    old = old.to(tl.float32)
    pull = tl.zeros((BLOCK_C, BLOCK_D), dtype=tl.float32)
    count = tl.zeros((BLOCK_C,), dtype=tl.int32)
    invalid = tl.zeros((BLOCK_L,), dtype=tl.int32)
    row = tl.arange(0, BLOCK_L)
    for start in range(0, B, BLOCK_L):
        rows = start + row
        y = tl.load(y_ptr + rows, mask=rows < B, other=0)
        invalid += ((y < 0) | (y >= C)).to(tl.int32)
        occurs = (y[None, :] == classes[:, None]) & (rows < B)[None, :]
        todo = tl.max(occurs.to(tl.int32), axis=1)
        while first_set(todo, BLOCK_C) < BLOCK_C:
            here = place == first_set(todo, BLOCK_C)
            mine = (y == first + first_set(todo, BLOCK_C)) & (rows < B)
            x_at = x_ptr + rows.to(tl.int64)[:, None] * x_stride + d[None, :]
            x = tl.load(x_at, mask=mine[:, None] & d_there, other=0.0).to(tl.float32)
            center = tl.sum(tl.where(here[:, None], old, 0.0), axis=0)
            its_pull = tl.sum(tl.where(mine[:, None], center[None, :] - x, 0.0), axis=0)
            pull += tl.where(here[:, None], its_pull[None, :], 0.0)
            count += tl.where(here, tl.sum(mine.to(tl.int32), axis=0), 0)
            todo = tl.where(here, 0, todo)
    new = old - alpha * pull / (1.0 + count.to(tl.float32))[:, None]
    new = tl.where(tl.sum(invalid, axis=0) == 0, new, float("nan"))
    tl.store(new_ptr + classes[:, None] * D + d[None, :], new, mask=there)


@triton.jit
def terms_and_steps(
    x_ptr, c_ptr, y_ptr, terms_ptr, new_ptr, B, C, D, x_stride, c_stride, alpha,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr, STRIP: tl.constexpr,
):  # fmt: skip
    """terms, by the first programs, and new, by the others; each where it is not None."""
    program = tl.program_id(0)
    row_blocks = tl.cdiv(B, BLOCK_B)
    if terms_ptr is not None:
        if program < row_blocks:
            _half_squared_distances(
                program, x_ptr, c_ptr, y_ptr, terms_ptr, B, C, D, x_stride, c_stride,
                BLOCK_B, BLOCK_D,
            )  # fmt: skip
        program -= row_blocks
    if new_ptr is not None:  # noqa: SIM102 (known when it is compiled; what follows is not)
        if program >= 0:
            _class_steps(
                program, x_ptr, c_ptr, y_ptr, new_ptr, B, C, D, x_stride, c_stride, alpha,
                BLOCK_C, BLOCK_L, STRIP,
            )  # fmt: skip


def _launch(
    x_BD: Tensor, y_B: Tensor, c_CD: Tensor, alpha: float, terms_B: Tensor | None,
    new_CD: Tensor | None,
) -> None:  # fmt: skip
    """Fill the terms, the new centers, or both, in one launch."""
    x_BD, c_CD = row_major(x_BD), row_major(c_CD)
    (B, D), C = x_BD.shape, c_CD.shape[0]
    together = CLASSES if C >= MANY else 1
    strip = power_of_two(D, 16, STRIP)
    programs = 0 if terms_B is None else blocks(B, ROWS)
    programs += 0 if new_CD is None else blocks(C, together) * blocks(D, strip)
    launch(
        terms_and_steps, programs,
        x_ptr=x_BD, c_ptr=c_CD, y_ptr=y_B.contiguous(), terms_ptr=terms_B, new_ptr=new_CD,
        B=B, C=C, D=D, x_stride=x_BD.stride(0), c_stride=c_CD.stride(0), alpha=alpha,
        BLOCK_B=ROWS, BLOCK_D=power_of_two(D, 16, 128),
        BLOCK_C=together, BLOCK_L=LABELS, STRIP=strip,
    )  # fmt: skip


def _terms_shape(embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    return embeddings.new_empty(embeddings.shape[0], dtype=torch.float32)


@operator("center_terms", fake=_terms_shape)
def center_terms(embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """||x_i - c_{y_i}||^2 / 2 (B, float32)."""
    terms_B = _terms_shape(embeddings, labels, centers)
    _launch(embeddings, labels, centers, 0.0, terms_B, None)
    return terms_B


def _update_shape(embeddings: Tensor, labels: Tensor, centers: Tensor, alpha: float) -> Tensor:
    return torch.empty_like(centers, memory_format=torch.contiguous_format)


@operator("center_update", fake=_update_shape)
def center_update(embeddings: Tensor, labels: Tensor, centers: Tensor, alpha: float) -> Tensor:
    """The centers after their step (C x D, their dtype)."""
    new_CD = _update_shape(embeddings, labels, centers, alpha)
    _launch(embeddings, labels, centers, alpha, None, new_CD)
    return new_CD


def _step_shape(
    embeddings: Tensor, labels: Tensor, centers: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    terms_B = _terms_shape(embeddings, labels, centers)
    return terms_B, _update_shape(embeddings, labels, centers, alpha)


@operator("center_step", fake=_step_shape)
def center_step(
    embeddings: Tensor, labels: Tensor, centers: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    """`center_terms` and `center_update` in one launch; the new centers take no gradient."""
    terms_B, new_CD = _step_shape(embeddings, labels, centers, alpha)
    _launch(embeddings, labels, centers, alpha, terms_B, new_CD)
    return terms_B, new_CD


@operator("center_gradient", fake=lambda upstream, x, y, c: x.new_empty(x.shape))
def center_gradient(
    upstream: Tensor, embeddings: Tensor, labels: Tensor, centers: Tensor
) -> Tensor:
    """Gradient by the embeddings (B x D, their dtype) for upstream gradients (B) of the terms."""
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


def _save(ctx, inputs, output) -> None:
    if isinstance(output, tuple):
        ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs[:3])


def _backward(ctx, upstream_B, *_):
    dx_BD = center_gradient(upstream_B, *ctx.saved_tensors)
    return dx_BD, *(None for _ in ctx.needs_input_grad[1:])


differentiable(center_terms, backward=_backward, save=_save)
differentiable(center_step, backward=_backward, save=_save)
