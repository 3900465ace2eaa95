"""SphereFace-R as a module that owns its class weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..shared.cosine_heads import CosineHead
from .arguments import check_margin
from .functional import FILES, sphereface_r


class SphereFaceRLoss(CosineHead):
    """Softmax over scaled cosines, the target's being cos(min(m theta, pi)) (SphereFace-R).

    >>> import torch
    >>> from marginbench import SphereFaceRLoss
    >>> loss = SphereFaceRLoss(dim=16, classes=10, scale=30.0, m=1.5)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.class_weights.grad.shape
    torch.Size([10, 16])

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        scale: s > 0, fixed.
        m: from 1 on, times the target's angle; from theta = pi / m on the logit is -s.
        rule: ``true``, or ``detached`` (`marginbench.functional.sphereface_r`).
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

    Source: Liu, Wen, Raj, Singh, Weller 2022 (SphereFace Revived); s = 30, m = 1.5 and the
    equation: opensphere, branch OpenSphere_v0, spherefacer.py, v1. Its loss is 50 / s times this
    one, and always detached.
    """

    offered = FILES.offered

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        scale: float = 30.0,
        m: float = 1.5,
        rule: str = "true",
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
        self.m, self.rule = check_margin(m, rule), rule

    def _shown(self) -> dict[str, Any]:
        return {**super()._shown(), "m": self.m, "rule": self.rule}

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return sphereface_r(
            embeddings, labels, self.class_weights, scale=self.scale, m=self.m, rule=self.rule,
            **self._options(weights),
        )  # fmt: skip
