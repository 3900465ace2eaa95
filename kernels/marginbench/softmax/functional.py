"""The softmax loss as a function of its class weights."""

from __future__ import annotations

import functools
from types import ModuleType

from torch import Tensor

from ..implementations import Files, from_logits
from ..shared import head_options
from . import eager, reference, tiled


def _fused() -> ModuleType:
    from . import fused

    return fused


TILED_FROM = from_logits(float32=10_000_000, bfloat16=20_000_000, float64=5_000_000)
FILES = Files(eager, reference, _fused, tiled, tiled_from=TILED_FROM)


def softmax(
    embeddings: Tensor,
    labels: Tensor,
    class_weights: Tensor,
    bias: Tensor | None = None,
    *,
    reduction: str = "mean",
    weights: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    implementation: str = "auto",
) -> Tensor:
    """Cross-entropy of ``embeddings @ class_weights.T + bias``, the linear layer included.

    >>> import torch
    >>> from marginbench.functional import softmax
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> labels = torch.tensor([0, 1])
    >>> class_weights = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> softmax(embeddings, labels, class_weights)
    tensor(0.1269)

    Arguments:
        embeddings: (B x D), float32, bfloat16, float16 or float64.
        labels: (B), int64 or int32, each in [0, C).
        class_weights: (C x D), the embeddings' dtype; under autocast, floats of more than one
            dtype are cast to autocast's.
        bias: (C) or None.
        reduction: ``mean`` over the rows, ``sum``, or ``none`` for one loss per row.
        weights: (B), one per row, none negative: mean divides by their sum.
        ignore_index: rows of this label count for nothing.
        label_smoothing: in [0, 1]; the share of the target's probability that all classes get.
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.

    Returns:
        A scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came. On a GPU values are not
            checked: a label out of range or a NaN makes the loss NaN (eager: a device-side
            assertion).

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equation 1.
    """
    called = FILES.function("softmax", implementation, embeddings, class_weights)
    return head_options.loss(
        functools.partial(called, embeddings, class_weights=class_weights, bias=bias),
        embeddings, labels, class_weights, bias,
        reduction=reduction, weights=weights, ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )  # fmt: skip
