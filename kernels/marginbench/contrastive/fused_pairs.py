"""Contrastive loss over explicit pairs: one kernel each way, bound by memory.

Forward keeps the slope of each pair (4 bytes), so that backward reads every row once. A pair's
distance, and how far it is from the margin, are float64: that holds the squares of all float32, and
costs nothing where memory is what is waited for.

Legend: N pairs, D dimension; M pairs of a program, K a chunk of D.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..shared.launching import blocks, launch, row_major
from ..shared.operators import differentiable, operator
from ..shared.pairwise_launch import ROWS, columns_of


@triton.jit
def _terms_kernel(
    a_ptr,  # embeddings_a (N x D), row stride a_stride
    b_ptr,  # embeddings_b (N x D), row stride b_stride
    different_ptr,  # (N) bool: different identities
    term_ptr,  # out (N) float32: the loss of each pair
    slope_ptr,  # out (N) float32: the derivative of its loss is slope (a - b) by a
    N, D, a_stride, b_stride, margin, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    row_M = tl.program_id(0).to(tl.int64) * M + tl.arange(0, M)
    depth_K = tl.arange(0, K)
    mask_M = row_M < N
    different_M = tl.load(different_ptr + row_M, mask=mask_M, other=0)

    squared_M = tl.zeros((M,), tl.float64)
    for start in range(0, D, K):
        column_K = start + depth_K
        mask_MK = mask_M[:, None] & (column_K < D)[None, :]
        a_ptr_MK = a_ptr + row_M[:, None] * a_stride + column_K[None, :]
        b_ptr_MK = b_ptr + row_M[:, None] * b_stride + column_K[None, :]
        a_MK = tl.load(a_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
        b_MK = tl.load(b_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
        difference_MK = a_MK.to(tl.float64) - b_MK.to(tl.float64)
        squared_M += tl.sum(difference_MK * difference_MK, axis=1)

    distance_M = tl.sqrt(squared_M)
    gap_M = margin - distance_M
    gap_M = tl.where(gap_M < 0.0, 0.0, gap_M)
    term_M = 0.5 * tl.where(different_M != 0, gap_M * gap_M, squared_M)
    # At a distance of 0 a different pair is not pushed: the sub-gradient 0.
    push_M = tl.where(distance_M == 0.0, 0.0, -gap_M / tl.where(distance_M == 0.0, 1.0, distance_M))
    slope_M = tl.where(different_M != 0, push_M, 1.0)
    tl.store(term_ptr + row_M, term_M.to(tl.float32), mask=mask_M)
    tl.store(slope_ptr + row_M, slope_M.to(tl.float32), mask=mask_M)


@triton.jit
def _gradient_kernel(
    a_ptr,  # embeddings_a (N x D), row stride a_stride
    b_ptr,  # embeddings_b (N x D), row stride b_stride
    slope_ptr,  # (N) float32: as _terms_kernel's
    upstream_ptr,  # gradient of the terms (N), float32, stride upstream_stride
    a_gradient_ptr,  # out (N x D), contiguous
    b_gradient_ptr,  # out (N x D), contiguous
    N, D, a_stride, b_stride, upstream_stride, M: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(D, K)
    row_M = (tl.program_id(0) // across).to(tl.int64) * M + tl.arange(0, M)
    column_K = (tl.program_id(0) % across) * K + tl.arange(0, K)
    mask_M = row_M < N
    mask_MK = mask_M[:, None] & (column_K < D)[None, :]
    slope_M = tl.load(slope_ptr + row_M, mask=mask_M, other=0.0)
    upstream_M = tl.load(upstream_ptr + row_M * upstream_stride, mask=mask_M, other=0.0)
    a_ptr_MK = a_ptr + row_M[:, None] * a_stride + column_K[None, :]
    b_ptr_MK = b_ptr + row_M[:, None] * b_stride + column_K[None, :]
    a_MK = tl.load(a_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)
    b_MK = tl.load(b_ptr_MK, mask=mask_MK, other=0.0).to(tl.float32)

    gradient_MK = (upstream_M * slope_M)[:, None] * (a_MK - b_MK)

    out_MK = row_M[:, None] * D + column_K[None, :]
    dtype = a_gradient_ptr.dtype.element_ty
    tl.store(a_gradient_ptr + out_MK, gradient_MK.to(dtype), mask=mask_MK)
    tl.store(b_gradient_ptr + out_MK, (-gradient_MK).to(dtype), mask=mask_MK)


def _terms_shape(
    embeddings_a: Tensor, embeddings_b: Tensor, different: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    terms_N = embeddings_a.new_empty(embeddings_a.shape[0], dtype=torch.float32)
    return terms_N, torch.empty_like(terms_N)


@operator("contrastive_pairs", fake=_terms_shape)
def pair_terms(
    embeddings_a: Tensor, embeddings_b: Tensor, different: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """The loss of each pair (N, float32) and its slope (N, float32, no gradient)."""
    a_ND, b_ND, different = row_major(embeddings_a), row_major(embeddings_b), different.contiguous()
    pairs, dim = a_ND.shape
    terms_N = torch.empty(pairs, dtype=torch.float32, device=a_ND.device)
    slopes_N = torch.empty_like(terms_N)
    launch(
        _terms_kernel, blocks(pairs, ROWS),
        a_ptr=a_ND, b_ptr=b_ND, different_ptr=different,
        term_ptr=terms_N, slope_ptr=slopes_N,
        N=pairs, D=dim, a_stride=a_ND.stride(0), b_stride=b_ND.stride(0), margin=margin,
        M=ROWS, K=columns_of(a_ND),
    )  # fmt: skip
    return terms_N, slopes_N


def _gradient_shape(
    embeddings_a: Tensor, embeddings_b: Tensor, slopes: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor]:
    gradient_ND = torch.empty_like(embeddings_a, memory_format=torch.contiguous_format)
    return gradient_ND, torch.empty_like(gradient_ND)


@operator("contrastive_pairs_gradient", fake=_gradient_shape)
def pair_gradients(
    embeddings_a: Tensor, embeddings_b: Tensor, slopes: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients by either side (N x D, their dtype) for upstream gradients (N) of the terms."""
    a_ND, b_ND = row_major(embeddings_a), row_major(embeddings_b)
    pairs, dim = a_ND.shape
    columns = columns_of(a_ND)
    a_gradient_ND = torch.empty_like(a_ND, memory_format=torch.contiguous_format)
    b_gradient_ND = torch.empty_like(a_gradient_ND)
    launch(
        _gradient_kernel, blocks(pairs, ROWS) * blocks(dim, columns),
        a_ptr=a_ND, b_ptr=b_ND, slope_ptr=slopes, upstream_ptr=upstream,
        a_gradient_ptr=a_gradient_ND, b_gradient_ptr=b_gradient_ND,
        N=pairs, D=dim, a_stride=a_ND.stride(0), b_stride=b_ND.stride(0),
        upstream_stride=upstream.stride(0), M=ROWS, K=columns,
    )  # fmt: skip
    return a_gradient_ND, b_gradient_ND


def _save(ctx, inputs, output) -> None:
    embeddings_a, embeddings_b, *_ = inputs
    slopes_N = output[1]
    ctx.mark_non_differentiable(slopes_N)
    ctx.save_for_backward(embeddings_a, embeddings_b, slopes_N)


def _backward(ctx, upstream, _):
    a_gradient, b_gradient = pair_gradients(*ctx.saved_tensors, upstream)
    return a_gradient, b_gradient, None, None


differentiable(pair_terms, backward=_backward, save=_save)
