"""CosFace as a module that owns its class weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_number
from ..shared.cosine_heads import CosineHead
from .functional import FILES, cosface


class CosFaceLoss(CosineHead):
    """Softmax over scaled cosines, a margin taken off the target's (CosFace, AM-softmax).

    >>> import torch
    >>> from marginbench import CosFaceLoss
    >>> loss = CosFaceLoss(dim=16, classes=10, scale=30.0, margin=0.35)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.class_weights.grad.shape
    torch.Size([10, 16])

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        scale: s > 0, fixed.
        margin: m >= 0, taken off the target's cosine.
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

    Source: Wang et al. 2018 (CosFace), equation 4, with its s = 64 and m = 0.35.
    """

    offered = FILES.offered

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        reduction: str = "mean",
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        implementation: str = "auto",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            dim, classes, scale=scale, reduction=reduction, ignore_index=ignore_index,
            label_smoothing=label_smoothing, implementation=implementation, device=device,
            dtype=dtype,
        )  # fmt: skip
        self.margin = check_number("margin", margin, 0)

    def _shown(self) -> dict[str, Any]:
        return {**super()._shown(), "margin": self.margin}

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return cosface(
            embeddings, labels, self.class_weights, scale=self.scale, margin=self.margin,
            **self._options(weights),
        )  # fmt: skip
