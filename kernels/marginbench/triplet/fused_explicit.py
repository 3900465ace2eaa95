"""Triplet loss over explicit triplets: one kernel each way, bound by memory.

Backward needs the terms alone (a triplet counts where its hinge is above 0) and reads and writes
every row once.

||a - p||^2 - ||a - n||^2 is summed in float64, as a hinge may be small where both are large. That
holds the squares of all float32, and costs nothing where memory is what is waited for.

Legend: N triplets, D dimension; M triplets of a program, K a chunk of D.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..shared.launching import blocks, launch, row_major
from ..shared.operators import differentiable, operator
from ..shared.pairwise_launch import ROWS, columns_of
from .fused_hinge import gaps, hinges


@triton.jit
def _terms_kernel(
    a_ptr,  # anchors (N x D), row stride a_stride
    p_ptr,  # positives (N x D), row stride p_stride
    n_ptr,  # negatives (N x D), row stride n_stride
    term_ptr,  # out (N) float32: the hinge of each triplet
    N, D, a_stride, p_stride, n_stride, margin, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    row_M = tl.program_id(0).to(tl.int64) * M + tl.arange(0, M)
    depth_K = tl.arange(0, K)
    mask_M = row_M < N

    gap_M = tl.zeros((M,), tl.float64)
    for start in range(0, D, K):
        column_K = start + depth_K
        mask_MK = mask_M[:, None] & (column_K < D)[None, :]
        a_ptr_MK = a_ptr + row_M[:, None] * a_stride + column_K[None, :]
        p_ptr_MK = p_ptr + row_M[:, None] * p_stride + column_K[None, :]
        n_ptr_MK = n_ptr + row_M[:, None] * n_stride + column_K[None, :]
        a_MK = tl.load(a_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
        p_MK = tl.load(p_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
        n_MK = tl.load(n_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
        gap_M += gaps(a_MK, p_MK, n_MK)

    tl.store(term_ptr + row_M, hinges(gap_M, margin), mask=mask_M)


@triton.jit
def _gradient_kernel(
    a_ptr,  # anchors (N x D), row stride a_stride
    p_ptr,  # positives (N x D), row stride p_stride
    n_ptr,  # negatives (N x D), row stride n_stride
    term_ptr,  # (N) float32: the hinge of each triplet
    upstream_ptr,  # gradient of the terms (N), float32, stride upstream_stride
    a_gradient_ptr,  # out (N x D), contiguous
    p_gradient_ptr,  # out (N x D), contiguous
    n_gradient_ptr,  # out (N x D), contiguous
    N, D, a_stride, p_stride, n_stride, upstream_stride, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(D, K)
    row_M = (tl.program_id(0) // across).to(tl.int64) * M + tl.arange(0, M)
    column_K = (tl.program_id(0) % across) * K + tl.arange(0, K)
    mask_M = row_M < N
    mask_MK = mask_M[:, None] & (column_K < D)[None, :]
    term_M = tl.load(term_ptr + row_M, mask=mask_M, other=0.0)
    upstream_M = tl.load(upstream_ptr + row_M * upstream_stride, mask=mask_M, other=0.0)
    a_ptr_MK = a_ptr + row_M[:, None] * a_stride + column_K[None, :]
    p_ptr_MK = p_ptr + row_M[:, None] * p_stride + column_K[None, :]
    n_ptr_MK = n_ptr + row_M[:, None] * n_stride + column_K[None, :]
    a_MK = tl.load(a_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
    p_MK = tl.load(p_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
    n_MK = tl.load(n_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)

    # At the kink the sub-gradient is 0; a NaN stays.
    active_M = tl.where(term_M > 0.0, 1.0, term_M)
    slope_MK = (2.0 * upstream_M * active_M)[:, None]

    out_MK = row_M[:, None] * D + column_K[None, :]
    dtype = a_gradient_ptr.dtype.element_ty
    tl.store(a_gradient_ptr + out_MK, (slope_MK * (n_MK - p_MK)).to(dtype), mask=mask_MK)
    tl.store(p_gradient_ptr + out_MK, (slope_MK * (p_MK - a_MK)).to(dtype), mask=mask_MK)
    tl.store(n_gradient_ptr + out_MK, (slope_MK * (a_MK - n_MK)).to(dtype), mask=mask_MK)


def _terms_shape(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    return anchor.new_empty(anchor.shape[0], dtype=torch.float32)


@operator("triplet_explicit", fake=_terms_shape)
def explicit_terms(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """The hinge of each triplet (N, float32)."""
    a_ND, p_ND, n_ND = row_major(anchor), row_major(positive), row_major(negative)
    triplets, dim = a_ND.shape
    terms_N = torch.empty(triplets, dtype=torch.float32, device=a_ND.device)
    launch(
        _terms_kernel, blocks(triplets, ROWS),
        a_ptr=a_ND, p_ptr=p_ND, n_ptr=n_ND, term_ptr=terms_N, N=triplets, D=dim,
        a_stride=a_ND.stride(0), p_stride=p_ND.stride(0), n_stride=n_ND.stride(0), margin=margin,
        M=ROWS, K=columns_of(a_ND),
    )  # fmt: skip
    return terms_N


def _gradient_shape(
    anchor: Tensor, positive: Tensor, negative: Tensor, terms: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    gradient_ND = torch.empty_like(anchor, memory_format=torch.contiguous_format)
    return gradient_ND, torch.empty_like(gradient_ND), torch.empty_like(gradient_ND)


@operator("triplet_explicit_gradient", fake=_gradient_shape)
def explicit_gradients(
    anchor: Tensor, positive: Tensor, negative: Tensor, terms: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by anchor, positive and negative (N x D, their dtype) for upstream gradients (N)
    of the terms."""
    a_ND, p_ND, n_ND = row_major(anchor), row_major(positive), row_major(negative)
    triplets, dim = a_ND.shape
    columns = columns_of(a_ND)
    gradients = _gradient_shape(a_ND, p_ND, n_ND, terms, upstream)
    launch(
        _gradient_kernel, blocks(triplets, ROWS) * blocks(dim, columns),
        a_ptr=a_ND, p_ptr=p_ND, n_ptr=n_ND, term_ptr=terms, upstream_ptr=upstream,
        a_gradient_ptr=gradients[0], p_gradient_ptr=gradients[1], n_gradient_ptr=gradients[2],
        N=triplets, D=dim,
        a_stride=a_ND.stride(0), p_stride=p_ND.stride(0), n_stride=n_ND.stride(0),
        upstream_stride=upstream.stride(0), M=ROWS, K=columns,
    )  # fmt: skip
    return gradients


def _save(ctx, inputs, output) -> None:
    anchor, positive, negative, _ = inputs
    ctx.save_for_backward(anchor, positive, negative, output)


def _backward(ctx, upstream):
    return *explicit_gradients(*ctx.saved_tensors, upstream), None


differentiable(explicit_terms, backward=_backward, save=_save)
