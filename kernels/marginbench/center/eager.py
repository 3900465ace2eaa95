"""The center loss and its centers' update in PyTorch.

The distance keeps nothing for backward but its inputs: the difference is recomputed, directly in
the gradient. B batch, D dimension, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import (
    NO_LABEL,
    check_finite,
    check_head,
    check_labels,
    check_matrix,
    check_number,
    check_reduction,
    check_rows,
)
from ..shared.distances import static_shapes
from ..shared.mixed import as_centers, as_linear
from ..shared.once import differentiable_once
from ..shared.reduction import reduce, wide
from ..shared.row_distances import check_held, in_range

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


def check_joint(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None,
    pulled: Tensor,
    centers: Tensor,
    weight: float,
) -> float:
    """Checks the arguments of the joint loss and returns the weight as Python's own number; raises
    InputError naming the one at fault.

    ``pulled`` are the embeddings as the centers take them (`as_centers`).
    """
    check_head(embeddings, labels, class_weights, bias)
    check_matrix("centers", centers, like=pulled)
    check_rows("centers", centers, class_weights)
    check_finite(centers=centers)
    return check_number("weight", weight, 0)


def check_centers(embeddings: Tensor, labels: Tensor, centers: Tensor) -> None:
    """Checks the arguments of term and update; raises InputError naming the one at fault."""
    check_matrix("centers", centers)
    check_matrix("embeddings", embeddings, like=centers, of="centers")
    check_labels("labels", labels, embeddings, classes=centers.shape[0])
    check_finite(embeddings=embeddings, centers=centers)


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
    centers (C x D), which take no gradient; weight (lambda) >= 0. Mean divides by B.
    Differentiable once in the center term.
    Returns float32 (float64 for float64 inputs): (B,) for reduction ``none``, else a scalar.
    Raises InputError naming the argument.
    """
    pulled = as_centers(embeddings, centers)
    embeddings, class_weights, bias = as_linear(embeddings, class_weights, bias)
    weight = check_joint(embeddings, labels, class_weights, bias, pulled, centers, weight)
    check_reduction(reduction)
    logits_BC = wide(F.linear(embeddings, class_weights, bias))
    softmax_B = F.cross_entropy(logits_BC, labels, reduction="none", ignore_index=NO_LABEL)
    distance_B = half_squared_distances(pulled, labels, centers)
    return reduce(softmax_B + weight * distance_B, reduction)


def term(embeddings: Tensor, labels: Tensor, centers: Tensor, *, reduction: str = "mean") -> Tensor:
    """||x_i - c_{y_i}||^2 / 2 (Wen et al. 2016, equation 2); mean divides by B.

    embeddings (B x D), labels (B, int64 in [0, C)), centers (C x D), which take no gradient.
    Differentiable once. Returns float32 (float64 for float64 inputs): (B,) for reduction
    ``none``, else a scalar. Raises InputError naming the argument.
    """
    embeddings = as_centers(embeddings, centers)
    check_centers(embeddings, labels, centers)
    check_reduction(reduction)
    return reduce(half_squared_distances(embeddings, labels, centers), reduction)


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
    centers (C x D) in the centers' dtype, without a gradient; the old ones stay as they are. An
    update has no terms to reduce: ``reduction`` is checked and changes nothing. A label out of
    range on a GPU makes every center NaN. Raises InputError naming the argument.

    The same bits every time, on CPU and GPU alike: a stable sort fixes the order of the samples,
    and each class's bag is summed in that order by one thread per column, never by a race of
    atomic additions. Sums are float32 (float64 for float64 inputs).
    """
    embeddings = as_centers(embeddings, centers)
    check_centers(embeddings, labels, centers)
    alpha = check_number("alpha", alpha, 0, high=1)
    check_reduction(reduction)
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
