"""Center loss as modules that own class weights and centers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import (
    as_int64,
    check_label_rows,
    check_matrix,
    check_number,
    check_whole,
    check_width,
)
from ..shared.gathering import of_all_ranks
from ..shared.modules import Head, Loss
from .functional import center, center_term, center_update


class _Centers:
    """``centers`` (C x D), a buffer that `update` fills in place; no gradient reaches it."""

    centers: Tensor
    alpha: float
    implementation: str
    ignore_index: int | None = None

    @torch.no_grad()
    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """Move the centers by the paper's rule (Wen et al. 2016, equation 4); call it once a step,
        after ``backward``: a backward pass needs the centers of its forward pass.

        >>> import torch
        >>> from marginbench import CenterTerm
        >>> term = CenterTerm(dim=2, classes=2, alpha=0.5)
        >>> term.update(torch.tensor([[4.0, 8.0]]), torch.tensor([0]))
        >>> term.centers
        tensor([[1., 2.],
                [0., 0.]])

        It waits for a GPU only where rows are ignored or ranks are gathered. Where
        torch.distributed runs, embeddings (B x D) and labels (B) of all ranks count, so
        that the centers are the same on each. Every rank has to call it, also one without rows
        (0 x D): an error that is raised on one rank alone leaves the others waiting for it.

        Arguments:
            embeddings: (B x D), of any float dtype; B may be 0.
            labels: (B), int64 or int32; rows of ``ignore_index`` move no center.

        Raises:
            InputError: names the argument, what was expected and what came.
        """
        check_matrix("embeddings", embeddings, empty=True)
        check_width("embeddings", embeddings, self.centers, of="centers")
        labels = as_int64(labels)
        check_label_rows("labels", labels, embeddings)
        if self.ignore_index is not None:
            kept_B = labels != self.ignore_index
            embeddings, labels = embeddings[kept_B], labels[kept_B]
        embeddings, labels = of_all_ranks(embeddings.detach(), labels)
        if len(labels) == 0:  # on every rank
            return
        implementation = self.implementation if self.implementation != "tiled" else "auto"
        self.centers.copy_(
            center_update(
                embeddings.to(self.centers.dtype), labels, self.centers, alpha=self.alpha,
                implementation=implementation,
            )
        )  # fmt: skip


class CenterLoss(_Centers, Head):
    """Softmax loss with a pull of each embedding towards the center of its class: the joint loss.

    >>> import torch
    >>> from marginbench import CenterLoss
    >>> loss = CenterLoss(dim=16, classes=10)
    >>> embeddings, labels = torch.randn(4, 16, requires_grad=True), torch.tensor([0, 3, 3, 9])
    >>> loss(embeddings, labels).backward()
    >>> loss.update(embeddings, labels)  # once a step: the centers follow
    >>> loss.centers[3].any(), loss.centers[5].any()
    (tensor(True), tensor(False))

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        weight: lambda >= 0, of the pull.
        alpha: the centers' rate, in [0, 1].
        bias: whether the linear layer has one.
        reduction: ``mean``, ``sum`` or ``none``.
        ignore_index: rows of this label count for nothing, in the loss and in `update`.
        label_smoothing: in [0, 1], of the softmax loss.
        implementation: ``auto``, ``triton``, ``tiled``, ``eager`` or ``reference``.
        device, dtype: of class weights and centers.

    The centers start at 0, as in the paper's release, and are part of the state_dict.

    Returns:
        Called with embeddings (B x D), labels (B) and, where rows weigh differently, weights (B):
        a scalar, or (B) for ``none``; float32, or float64 for float64 embeddings and from the
        reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equations 4 and 5.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        weight: float = 0.003,
        alpha: float = 0.5,
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
        self.weight = check_number("weight", weight, 0)
        self.alpha = check_number("alpha", alpha, 0, high=1)
        self.register_buffer("centers", torch.zeros_like(self.class_weights.detach()))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if "centers" in self._buffers:  # not yet while the head is made
            self.centers.zero_()

    def _shown(self) -> dict[str, Any]:
        return {**super()._shown(), "weight": self.weight, "alpha": self.alpha}

    def forward(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of embeddings (B x D) and labels (B); ``weights`` (B) weigh its rows."""
        return center(
            embeddings, labels, self.class_weights, self.bias, centers=self.centers,
            weight=self.weight, **self._options(weights),
        )  # fmt: skip


class CenterTerm(_Centers, Loss):
    """Half the squared distance of each embedding to the center of its class, to add to another
    loss.

    >>> import torch
    >>> from marginbench import CenterTerm
    >>> term = CenterTerm(dim=2, classes=10)
    >>> term(torch.tensor([[3.0, 4.0]]), torch.tensor([7]))
    tensor(12.5000)

    Arguments:
        dim: D, the embeddings' dimension.
        classes: C.
        alpha: the centers' rate, in [0, 1].
        reduction: ``mean``, ``sum`` or ``none``.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.
        device, dtype: of the centers.

    Returns:
        Called with embeddings (B x D) and labels (B): a scalar,
        or (B) for ``none``; float32, or float64 for float64 embeddings and from the reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Wen, Zhang, Li, Qiao 2016 (center loss), equations 2 and 4.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        alpha: float = 0.5,
        reduction: str = "mean",
        implementation: str = "auto",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(reduction, implementation)
        dim, classes = check_whole("dim", dim, 1), check_whole("classes", classes, 1)
        self.alpha = check_number("alpha", alpha, 0, high=1)
        self.register_buffer("centers", torch.zeros(classes, dim, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """The centers become 0."""
        self.centers.zero_()

    def _shown(self) -> dict[str, Any]:
        classes, dim = self.centers.shape
        return {"dim": dim, "classes": classes, "alpha": self.alpha}

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of embeddings (B x D) and labels (B)."""
        return center_term(
            embeddings, labels, self.centers, reduction=self.reduction,
            implementation=self.implementation,
        )  # fmt: skip
