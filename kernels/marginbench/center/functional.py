"""Center loss as functions of class weights and centers."""

from __future__ import annotations

import functools
from types import ModuleType

from torch import Tensor

from ..checks import as_int64
from ..implementations import Files, from_logits
from ..shared import head_options
from . import eager, reference, tiled


def _fused() -> ModuleType:
    from . import fused

    return fused


TILED_FROM = from_logits(float32=10_000_000, bfloat16=20_000_000, float64=5_000_000)
FILES = Files(eager, reference, _fused, tiled, tiled_from=TILED_FROM)


def center(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    centers: Tensor,
    weight: float = 0.003,
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """The joint loss: softmax plus weight/2 times the squared distance to the class's center.

    >>> import torch
    >>> from marginbench.functional import center
    >>> embeddings, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    >>> center(embeddings, labels, torch.eye(2), centers=torch.zeros(2, 2), weight=0.1)
    tensor(0.3633)

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D), the embeddings' dtype.
        bias: (C) or None.
        centers: (C x D); they take no gradient: see `center_update`.
        weight: lambda >= 0 of the paper.
        reduction: ``mean`` over the rows, ``sum``, or ``none`` for one loss per row.
        weights: (B), one per row, none negative: mean divides by their sum.
        ignore_index: rows of this label count for nothing.
        label_smoothing: in [0, 1], of the softmax loss.
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equation 5.
    """
    called = FILES.function("joint", implementation, embeddings, class_weights)
    return head_options.loss(
        functools.partial(
            called, embeddings, class_weights=class_weights, bias=bias, centers=centers,
            weight=weight,
        ),
        embeddings, labels, class_weights, bias,
        reduction=reduction, weights=weights, ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )  # fmt: skip


@head_options.refusing
def center_term(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    reduction: str = "mean",
    implementation: str = "auto",
) -> Tensor:
    """Half the squared distance of each embedding to the center of its class, alone.

    >>> import torch
    >>> from marginbench.functional import center_term
    >>> center_term(torch.tensor([[3.0, 4.0]]), torch.tensor([0]), torch.zeros(1, 2))
    tensor(12.5000)

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        centers: (C x D); they take no gradient.
        reduction: ``mean`` over the rows, ``sum``, or ``none`` for one loss per row.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equation 2.
    """
    called = FILES.function("term", implementation, embeddings)
    return called(embeddings, as_int64(labels), centers, reduction=reduction)


@head_options.refusing
def center_update(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    alpha: float = 0.5,
    implementation: str = "auto",
) -> Tensor:
    """The centers after one step of the paper's rule, which counts each class's samples.

    >>> import torch
    >>> from marginbench.functional import center_update
    >>> center_update(torch.tensor([[4.0, 8.0]]), torch.tensor([0]), torch.zeros(2, 2))
    tensor([[1., 2.],
            [0., 0.]])

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        centers: (C x D); they are left as they are.
        alpha: the rate, in [0, 1].
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        New centers (C x D) in the centers' dtype, without a gradient; the same bits every time.

    Raises:
        InputError: names the argument, what was expected and what came.

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equation 4.
    """
    called = FILES.function("update", implementation, embeddings)
    return called(embeddings, as_int64(labels), centers, alpha=alpha)
