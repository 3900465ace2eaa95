"""The triplet losses and mining rules of pytorch-metric-learning, on our definitions.

Squared distances of the embeddings as they are, every valid or mined triplet, and a sum by anchor
of the library's unreduced hinges in place of its reducers, which have none by anchor.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from ..shared.reduction import reduce


def _squared() -> Any:
    from pytorch_metric_learning import distances

    return distances.LpDistance(normalize_embeddings=False, p=2, power=2)


@functools.cache
def _loss(margin: float) -> Any:
    from pytorch_metric_learning import losses, reducers

    return losses.TripletMarginLoss(
        margin=margin, distance=_squared(), reducer=reducers.DoNothingReducer()
    )


@functools.cache
def _semi_hard_miner(margin: float) -> Any:
    from pytorch_metric_learning import miners

    return miners.TripletMarginMiner(
        margin=margin, type_of_triplets="semihard", distance=_squared()
    )


@functools.cache
def _hardest_miner() -> Any:
    from pytorch_metric_learning import miners

    return miners.BatchHardMiner(distance=_squared())


def _reduced(
    found: dict[str, Any], embeddings: Tensor, reduction: str, divisor: str = "listed"
) -> Tensor:
    """The library's unreduced result, summed by anchor and reduced.

    ``divisor``: the triplets that it listed, or with ``"active"`` those whose hinge is not zero.
    """
    (part,) = found.values()
    hinge_T = part["losses"]
    if not isinstance(hinge_T, Tensor):
        return reduce(embeddings.sum(dim=1) * 0, reduction, divisor=1)
    count = (hinge_T > 0).sum() if divisor == "active" else hinge_T.numel()
    if reduction != "none":
        return reduce(hinge_T, reduction, divisor=count)
    return embeddings.new_zeros(len(embeddings)).index_add(0, part["indices"][0], hinge_T)


def explicit(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
) -> Tensor:
    """As `reference.explicit`, by way of the N x 2N distances that the library takes its own
    from."""
    rows = torch.arange(len(anchor), device=anchor.device)
    found = _loss(margin)(
        anchor,
        indices_tuple=(rows, rows, rows + len(rows)),
        ref_emb=torch.cat((positive, negative)),
    )
    return _reduced(found, anchor, reduction)


def batch_all(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    divisor: str = "valid",
    reduction: str = "mean",
) -> Tensor:
    """As `reference.batch_all`: the library's default triplets, listed."""
    return _reduced(_loss(margin)(embeddings, labels), embeddings, reduction, divisor)


def batch_hard(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """As `reference.batch_hard`, with BatchHardMiner."""
    mined = _hardest_miner()(embeddings, labels)
    return _reduced(_loss(margin)(embeddings, labels, mined), embeddings, reduction)


def semi_hard_all(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """As `reference.semi_hard_all`, with TripletMarginMiner. It also lists triplets at the margin
    exactly; their hinge is zero, so the active ones are ours."""
    mined = _semi_hard_miner(margin)(embeddings, labels)
    return _reduced(_loss(margin)(embeddings, labels, mined), embeddings, reduction, "active")


def mine_batch_hard(
    embeddings: Tensor, labels: Tensor, *, reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    """As `reference.mine_batch_hard` where every anchor has a positive and a negative: the
    library leaves out the others, which get -1 here in both."""
    anchors, positives, negatives = _hardest_miner()(embeddings, labels)
    hardest = torch.full((2, len(labels)), -1, dtype=torch.int64, device=labels.device)
    hardest[0, anchors], hardest[1, anchors] = positives, negatives
    return hardest[0], hardest[1]


def mine_semi_hard_all(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.mine_semi_hard_all`, but for triplets at the margin exactly."""
    return _semi_hard_miner(margin)(embeddings, labels)
