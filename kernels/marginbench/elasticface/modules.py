"""ElasticFace as a module that owns its class weights and draws its margins."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import check_choice, check_number
from ..shared.cosine_heads import CosineHead
from .arguments import RULES
from .functional import FILES, elasticface


class ElasticFaceLoss(CosineHead):
    """Softmax over scaled cosines, with a margin drawn for each row (ElasticFace).

    >>> import torch
    >>> from marginbench import ElasticFaceLoss
    >>> loss = ElasticFaceLoss(dim=16, classes=10, scale=30.0, margin=0.5, deviation=0.05)
    >>> embeddings = torch.randn(4, 16, requires_grad=True)
    >>> loss(embeddings, torch.tensor([0, 3, 3, 9])).backward()
    >>> loss.class_weights.grad.shape
    torch.Size([10, 16])

    Margins are drawn in training; in ``eval()`` mode all are their mean. They come from torch's
    generator of the embeddings' device: ``torch.manual_seed`` repeats them.

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        scale: s > 0, fixed.
        margin: the mean of the margins, >= 0; in radians for ``arc`` and ``sorted``.
        deviation: their standard deviation, >= 0.
        rule: ``arc``, ``cos`` or ``sorted`` (`marginbench.functional.elasticface`).
            The defaults are of ``arc``; for ``cos`` the repository draws from 0.35 and 0.05, for
            ``sorted`` from 0.5 and 0.0175.
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

    Source: Boutros, Damer, Kirchbuchner, Kuijper 2022 (ElasticFace), equations 6 and 7, with its
    s = 64, and m = 0.5 and a deviation of 0.05 for the angle.
    """

    offered = FILES.offered
    #: Two calls in training differ.
    differs_in_training = True

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        deviation: float = 0.05,
        rule: str = "arc",
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
        self.deviation = check_number("deviation", deviation, 0)
        check_choice("rule", rule, RULES)
        self.rule = rule

    def _shown(self) -> dict[str, Any]:
        own = {"margin": self.margin, "deviation": self.deviation, "rule": self.rule}
        return {**super()._shown(), **own}

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        margins_B = torch.full(
            embeddings.shape[:1], self.margin, dtype=torch.float32, device=embeddings.device
        )
        if self.training:
            margins_B = margins_B + self.deviation * torch.randn_like(margins_B)
        return elasticface(
            embeddings, labels, self.class_weights, margins_B, scale=self.scale, rule=self.rule,
            **self._options(weights),
        )  # fmt: skip
