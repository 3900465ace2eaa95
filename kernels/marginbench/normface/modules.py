"""NormFace as a module that owns its class weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..shared.cosine_heads import CosineHead
from .functional import FILES, normface


class NormFaceLoss(CosineHead):
    """Softmax over scaled cosines, with the scale fixed or learnt (NormFace).

    >>> import torch
    >>> from marginbench import NormFaceLoss
    >>> loss = NormFaceLoss(dim=16, classes=10, learn_scale=True)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.scale
    Parameter containing:
    tensor(10., requires_grad=True)

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        scale: s > 0; where it is learnt, what it starts at.
        learn_scale: whether ``scale`` is a parameter, of at least float32, or stays as it is.
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

    Source: Wang, Xiang, Cheng, Yuille 2017 (NormFace), equation 5; learnt from 10 on as in its
    release (happynear/NormFace 2a1112a6, prototxt/scaled_cosine_softmax.prototxt, which keeps it
    above 0.01).
    """

    offered = FILES.offered

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        scale: float = 10.0,
        learn_scale: bool = True,
        reduction: str = "mean",
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        implementation: str = "auto",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            dim, classes, scale=scale, learn_scale=learn_scale, reduction=reduction,
            ignore_index=ignore_index, label_smoothing=label_smoothing,
            implementation=implementation, device=device, dtype=dtype,
        )  # fmt: skip

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return normface(
            embeddings, labels, self.class_weights, scale=self.scale, **self._options(weights)
        )
