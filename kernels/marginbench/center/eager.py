"""The center loss and its centers' update in PyTorch.

The distance keeps nothing for backward but its inputs: the difference is recomputed, directly in
the gradient. B batch, D dimension, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import NO_LABEL
from ..shared.distances import static_shapes
from ..shared.forms import checked, of_terms
from ..shared.once import differentiable_once
from ..shared.reduction import wide
from ..shared.row_distances import check_held, in_range
from . import arguments

# On a CPU, fresh memory costs more than arithmetic: differences that are not kept are made this
# many rows at a time, in memory that the allocator hands out again.
_ROWS = 2048


def _difference(x_BD: Tensor, y_B: Tensor, centers_CD: Tensor) -> Tensor:
    """c_{y_i} - x_i in float32 or float64, in one new buffer."""
    return wide(centers_CD.index_select(0, y_B)).sub_(x_BD)


def _distances(x_BD: Tensor, y_B: Tensor, centers_CD: Tensor) -> Tensor:
    """In float64."""
    return torch.linalg.vector_norm(_difference(x_BD.double(), y_B, centers_CD.double()), dim=1)


class _HalfSquaredDistance(torch.autograd.Function):
    """Terms (B,) in float32 or float64; a gradient for the embeddings alone."""

    @staticmethod
    def forward(ctx, x_BD, y_B, centers_CD):
        ctx.save_for_backward(x_BD, y_B, centers_CD)
        whole = x_BD.device.type != "cpu" or torch.compiler.is_compiling()
        rows = len(x_BD) if whole else _ROWS
        lengths = [
            torch.linalg.vector_norm(_difference(x, y, centers_CD), dim=1)
            for x, y in zip(x_BD.split(rows), y_B.split(rows), strict=True)
        ]
        squared_B = torch.cat(lengths).square_()
        dtype = squared_B.dtype
        looked_at = dtype == torch.float32 and not static_shapes(x_BD)
        if looked_at and not in_range(squared_B, short=True):
            squared_B = _distances(x_BD, y_B, centers_CD).square_()
        terms_B = squared_B / 2
        if terms_B.dtype != dtype:  # a cast that casts nothing loses torch 2.11's compiled gradient
            terms_B = terms_B.to(dtype)
        if squared_B.dtype == torch.float64:
            check_held("embeddings", terms_B, lambda: squared_B.amax().sqrt())
        return terms_B

    @staticmethod
    @differentiable_once
    def backward(ctx, upstream_B):
        x_BD, y_B, centers_CD = ctx.saved_tensors
        difference_BD = _difference(x_BD, y_B, centers_CD)
        return difference_BD.mul_(-upstream_B[:, None]).to(x_BD.dtype), None, None


def half_squared_distances(embeddings: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """||x_i - c_{y_i}||^2 / 2 for each i, with a gradient for the embeddings alone."""
    return _HalfSquaredDistance.apply(embeddings, labels, centers)


@of_terms(arguments.joint)
def joint(embeddings, labels, class_weights, bias, pulled, centers, weight):
    """The softmax loss plus weight/2 ||x_i - c_{y_i}||^2 (Wen et al. 2016, equation 5).
    Differentiable once in the center term."""
    logits_BC = wide(F.linear(embeddings, class_weights, bias))
    softmax_B = F.cross_entropy(logits_BC, labels, reduction="none", ignore_index=NO_LABEL)
    return softmax_B + weight * half_squared_distances(pulled, labels, centers)


@of_terms(arguments.term)
def term(embeddings, labels, centers):
    """||x_i - c_{y_i}||^2 / 2 (Wen et al. 2016, equation 2). Differentiable once."""
    return half_squared_distances(embeddings, labels, centers)


@torch.no_grad()
@checked(arguments.update)
def update(embeddings, labels, centers, alpha, reduction):
    """c_j - alpha sum_i [y_i = j](c_j - x_i) / (1 + n_j) (Wen et al. 2016, equation 4): new centers
    in the centers' dtype. A label out of range on a GPU makes every center NaN.

    The same bits every time, on CPU and GPU alike: a stable sort fixes the order of the samples,
    and each class's bag is summed in that order by one thread per column, never by a race of
    atomic additions. Sums are float32 (float64 for float64 inputs).
    """
    classes = centers.shape[0]
    sorted_B, order_B = labels.sort(stable=True)
    edges = torch.arange(classes + 1, device=labels.device)
    starts = torch.searchsorted(sorted_B, edges)
    sums_CD = F.embedding_bag(
        order_B, wide(embeddings), starts, mode="sum", include_last_offset=True
    )
    counts_C = starts.diff()[:, None]
    old_CD = wide(centers)
    new_CD = old_CD - alpha * (old_CD * counts_C - sums_CD) / (1 + counts_C)
    if labels.device.type != "cpu":
        new_CD.masked_fill_(starts[-1] - starts[0] != len(labels), float("nan"))
    return new_CD.to(centers.dtype)
