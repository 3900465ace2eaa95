"""The combined margin as a module that owns its class weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..shared.cosine_heads import CosineHead
from .arguments import check_margins
from .functional import FILES, combined_margin


class CombinedMarginLoss(CosineHead):
    """Softmax over scaled cosines, the target's being cos(m1 theta + m2) - m3.

    >>> import torch
    >>> from marginbench import CombinedMarginLoss
    >>> loss = CombinedMarginLoss(dim=16, classes=10, scale=30.0, m1=0.9, m2=0.3, m3=0.15)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.class_weights.grad.shape
    torch.Size([10, 16])

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        scale: s > 0, fixed.
        m1: > 0, times the target's angle.
        m2: in [0, pi], in radians, added to that. Where m1 theta + m2 passes pi, the logit rises
            with the angle: a warning says from which on.
        m3: >= 0, taken off the cosine of that.
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

    Source: Deng, Guo, Xue, Zafeiriou 2019 (ArcFace), equation 4; the defaults are insightface's
    (arcface_mxnet, ``combined``). Its arcface_torch has a class of this name that combines
    nothing: with m3 > 0 it takes no notice of m1 and m2.
    """

    offered = FILES.offered

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        scale: float = 64.0,
        m1: float = 1.0,
        m2: float = 0.3,
        m3: float = 0.2,
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
        self.m1, self.m2, self.m3 = check_margins(m1, m2, m3)

    def _shown(self) -> dict[str, Any]:
        return {**super()._shown(), "m1": self.m1, "m2": self.m2, "m3": self.m3}

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return combined_margin(
            embeddings, labels, self.class_weights, scale=self.scale, m1=self.m1, m2=self.m2,
            m3=self.m3, **self._options(weights),
        )  # fmt: skip
