"""Triplet loss as modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import InputError, check_matrix, check_number
from ..shared.modules import Loss
from ..shared.reduction import wide
from .functional import check_mining, explicit_triplet, triplet


class TripletLoss(Loss):
    """An anchor should be nearer to its positive than to its negative, by a margin; triplets are
    mined in the batch.

    >>> import torch
    >>> from marginbench import TripletLoss
    >>> loss = TripletLoss(mining="batch-hard")
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 1, 1]))
    tensor(0.3500)

    Arguments:
        mining: ``batch-all``, ``batch-all-active``, ``batch-hard``, ``semi-hard`` or
            ``semi-hard-all``; `marginbench.functional.triplet` says what each takes.
        margin: of squared distances, >= 0. Embeddings are usually put on the unit sphere first
            (``torch.nn.functional.normalize``), where squared distances lie between 0 and 4.
        reduction: ``mean``, ``sum`` or ``none``.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        Called with embeddings (B x D), labels (B) and, if wanted, mined ``triplets``: a scalar,
        or (B) for ``none``, (T) with T triplets; float32, or float64 for float64 embeddings and
        from the reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Schroff, Kalenichenko, Philbin 2015 (FaceNet), section 3; batch-hard: Hermans, Beyer,
    Leibe 2017, section 2.
    """

    def __init__(
        self,
        mining: str = "semi-hard",
        *,
        margin: float = 0.2,
        reduction: str = "mean",
        implementation: str = "auto",
    ) -> None:
        super().__init__(reduction, implementation)
        self.mining, self.margin = check_mining(mining), check_number("margin", margin, 0)

    def _shown(self) -> dict[str, Any]:
        return {"mining": self.mining, "margin": self.margin}

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        triplets: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The loss of embeddings (B x D) and labels (B).

        ``triplets`` are indices of anchors, positives and negatives (T each) from any miner, ours
        or pytorch-metric-learning's; then they count in place of ``mining``, a mean divides by T,
        and without a triplet the loss is 0.
        """
        options = {
            "margin": self.margin, "reduction": self.reduction,
            "implementation": self.implementation,
        }  # fmt: skip
        if triplets is None:
            return triplet(embeddings, labels, mining=self.mining, **options)  # type: ignore[arg-type]
        check_matrix("embeddings", embeddings)
        _check_indices(triplets, len(embeddings))
        if len(triplets[0]) == 0:
            nothing = wide(embeddings[:0].sum())
            nothing = nothing.double() if self.implementation == "reference" else nothing
            return nothing.expand(0) if self.reduction == "none" else nothing
        rows = [embeddings.index_select(0, one) for one in triplets]
        return explicit_triplet(*rows, **options)  # type: ignore[arg-type]


def _check_indices(triplets: Any, rows: int) -> None:
    """Three index vectors of one length; on the CPU, each index in [0, rows)."""
    expected = "indices of anchors, positives and negatives: three int64 tensors of one length"
    if not isinstance(triplets, tuple | list) or len(triplets) != 3:
        raise InputError("triplets", expected, type(triplets).__name__)
    for one in triplets:
        if not isinstance(one, Tensor) or one.ndim != 1 or one.dtype != torch.int64:
            raise InputError("triplets", expected, one if not isinstance(one, Tensor) else
                             f"shape {tuple(one.shape)}, {one.dtype}")  # fmt: skip
        if len(one) != len(triplets[0]):
            raise InputError("triplets", expected, [len(vector) for vector in triplets])
        if len(one) and one.device.type == "cpu" and not torch.compiler.is_compiling():
            lowest, highest = (int(value) for value in one.aminmax())
            if lowest < 0 or highest >= rows:
                raise InputError("triplets", f"every index in [0, {rows})",
                                 lowest if lowest < 0 else highest)  # fmt: skip


class ExplicitTripletLoss(Loss):
    """Triplet loss of explicit triplets, a row of each matrix.

    >>> import torch
    >>> from marginbench import ExplicitTripletLoss
    >>> anchor, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    >>> ExplicitTripletLoss(margin=0.5)(anchor, positive, torch.tensor([[0.6, 0.8]]))
    tensor(0.1000)

    Arguments:
        margin: of squared distances, >= 0.
        reduction: ``mean`` over the N triplets, ``sum``, or ``none``.
        implementation: ``auto``, ``triton``, ``eager`` or ``reference``.

    Returns:
        Called with three matrices (N x D): anchors, positives and negatives: a scalar,
        or (N) for ``none``; float32, or float64 for float64 embeddings and from the reference.

    Raises:
        InputError: names the argument, what was expected and what came; when it is made and when
            it is called.

    Source: Schroff, Kalenichenko, Philbin 2015 (FaceNet), section 3.1.
    """

    def __init__(
        self, *, margin: float = 0.2, reduction: str = "mean", implementation: str = "auto"
    ) -> None:
        super().__init__(reduction, implementation)
        self.margin = check_number("margin", margin, 0)

    def _shown(self) -> dict[str, Any]:
        return {"margin": self.margin}

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of three matrices (N x D)."""
        return explicit_triplet(
            anchor, positive, negative, margin=self.margin, reduction=self.reduction,
            implementation=self.implementation,
        )  # fmt: skip
