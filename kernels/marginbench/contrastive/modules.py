"""Contrastive loss as modules."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..checks import check_number
from ..shared.modules import Loss
from .functional import contrastive, pair_contrastive


class _Margin(Loss):
    def __init__(
        self, *, margin: float = 1.0, reduction: str = "mean", implementation: str = "auto"
    ) -> None:
        super().__init__(reduction, implementation)
        self.margin = check_number("margin", margin, 0)

    def _shown(self) -> dict[str, Any]:
        return {"margin": self.margin}


class ContrastiveLoss(_Margin):
    """Pairs of one identity are pulled together, others pushed out to a margin; all pairs of a
    labelled batch.

    >>> import torch
    >>> from marginbench import ContrastiveLoss
    >>> loss = ContrastiveLoss(margin=1.0)
    >>> loss(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]]), torch.tensor([0, 0, 1]))
    tensor(0.2083)

    Arguments:
        margin: Euclidean distance, not squared; >= 0.
        reduction: ``mean`` over the B(B-1)/2 pairs, ``sum``, or ``none`` for one number per row.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        Called with embeddings (B x D) and labels (B): a scalar,
        or (B) for ``none``; float32, or float64 for float64 embeddings and from the reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Hadsell, Chopra, LeCun 2006, equation 4, over the pairs of a batch.
    """

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of embeddings (B x D) and labels (B)."""
        return contrastive(
            embeddings, labels, margin=self.margin, reduction=self.reduction,
            implementation=self.implementation,
        )  # fmt: skip


class PairContrastiveLoss(_Margin):
    """Contrastive loss of explicit pairs: row i of one matrix with row i of the other.

    >>> import torch
    >>> from marginbench import PairContrastiveLoss
    >>> a, b = torch.zeros(2, 2), torch.tensor([[0.6, 0.8], [0.3, 0.4]])
    >>> PairContrastiveLoss()(a, b, torch.tensor([False, True]))
    tensor(0.3125)

    Arguments:
        margin: Euclidean distance, not squared; >= 0.
        reduction: ``mean`` over the N pairs, ``sum``, or ``none``.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        Called with two matrices (N x D) and which rows are of two identities (N, bool): a scalar,
        or (N) for ``none``; float32, or float64 for float64 embeddings and from the reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Hadsell, Chopra, LeCun 2006, equation 4.
    """

    def forward(self, embeddings_a: Tensor, embeddings_b: Tensor, different: Tensor) -> Tensor:
        """The loss of two matrices (N x D) and which rows (N, bool) are of two identities."""
        return pair_contrastive(
            embeddings_a, embeddings_b, different, margin=self.margin, reduction=self.reduction,
            implementation=self.implementation,
        )  # fmt: skip
