"""The softmax loss as a module that owns its class weights."""

from __future__ import annotations

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

    Returns:
        Called with embeddings (B x D), labels (B) and, where rows weigh differently, weights (B):
        a scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equation 1.
    """

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return softmax(embeddings, labels, self.class_weights, self.bias, **self._options(weights))
