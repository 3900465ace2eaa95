"""MagFace as a module that owns its class weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_choice
from ..shared.cosine_heads import CosineHead
from .arguments import RULES, Lengths
from .functional import FILES, magface


class MagFaceLoss(CosineHead):
    """Softmax over scaled cosines, a margin on the target's angle by the length (MagFace).

    >>> import torch
    >>> from marginbench import MagFaceLoss
    >>> loss = MagFaceLoss(dim=16, classes=10, scale=30.0, l_a=1.0, u_a=51.0)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.class_weights.grad.shape
    torch.Size([10, 16])

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        scale: s > 0, fixed.
        l_a, u_a: 0 < l_a < u_a, the lengths that an embedding's is clamped to.
        l_m, u_m: 0 <= l_m <= u_m <= pi, in radians: the margins at those two lengths; between them
            it grows evenly.
        lambda_g: >= 0, the weight of the regulariser a / u_a^2 + 1 / a of each row's clamped
            length a. The paper asks for s k u_a^2 l_a^2 / (u_a^2 - l_a^2) or more, with k =
            (u_m - l_m) / (u_a - l_a).
        rule: ``true``, or ``easy`` (`marginbench.functional.magface`). The repository's README
            advises l_a = 1, u_a = 51, u_m = 1 and lambda_g = 5 beside the defaults.
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

    Source: Meng, Zhao, Huang, Zhou 2021 (MagFace); the defaults are its repository's (run/run.sh),
    which trains with ``easy``.
    """

    offered = FILES.offered

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        scale: float = 64.0,
        l_a: float = 10.0,
        u_a: float = 110.0,
        l_m: float = 0.45,
        u_m: float = 0.8,
        lambda_g: float = 35.0,
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
        checked = Lengths.checked(l_a, u_a, l_m, u_m, lambda_g)
        self.l_a, self.u_a, self.l_m, self.u_m = checked.l_a, checked.u_a, checked.l_m, checked.u_m
        self.lambda_g = checked.lambda_g
        check_choice("rule", rule, RULES)
        self.rule = rule

    @property
    def regularised(self) -> bool:  # type: ignore[override]
        return self.lambda_g > 0

    def _numbers(self) -> dict[str, Any]:
        names = ("l_a", "u_a", "l_m", "u_m", "lambda_g", "rule")
        return {name: getattr(self, name) for name in names}

    def _shown(self) -> dict[str, Any]:
        return {**super()._shown(), **self._numbers()}

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return magface(
            embeddings, labels, self.class_weights, scale=self.scale, **self._numbers(),
            **self._options(weights),
        )  # fmt: skip
