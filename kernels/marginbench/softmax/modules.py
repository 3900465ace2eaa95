"""The softmax loss as a module that owns its class weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..shared.modules import Head
from .functional import softmax


class SoftmaxLoss(Head):
    """Cross-entropy of a linear layer, the layer included; never a B x C matrix in Triton or tiled.

    >>> import torch
    >>> from marginbench import SoftmaxLoss
    >>> loss = SoftmaxLoss(dim=16, classes=10)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.class_weights.grad.shape
    torch.Size([10, 16])

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        bias: whether the linear layer has one.
        reduction: ``mean``, ``sum`` or ``none``.
        ignore_index: rows of this label count for nothing.
        label_smoothing: in [0, 1].
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.
        device, dtype: of the class weights.

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equation 1.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        bias: bool = True,
        reduction: str = "mean",
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        implementation: str = "auto",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            dim, classes, bias=bias, reduction=reduction, ignore_index=ignore_index,
            label_smoothing=label_smoothing, implementation=implementation, device=device,
            dtype=dtype,
        )  # fmt: skip

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return softmax(embeddings, labels, self.class_weights, self.bias, **self._options(weights))
