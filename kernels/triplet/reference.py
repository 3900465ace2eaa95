"""The definitions of the triplet loss and of its mining rules, in float64, an anchor at a time.

a, p, n anchor, positive and negative (N x D each), or x embeddings (B x D) with y labels (B).
Squared Euclidean distances throughout. Sources: Schroff, Kalenichenko, Philbin 2015 (FaceNet),
sections 3.1 and 3.2; Hermans, Beyer, Leibe 2017, section 2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..machines.reduction import reduce


def _distances(x_BD: Tensor, a: int) -> Tensor:
    """||x_a - x_j||^2 for each j."""
    return (x_BD - x_BD[a]).square().sum(dim=1)


def _others(labels: Tensor, a: int) -> tuple[Tensor, Tensor]:
    """The positives and the negatives of anchor a, in rising order of index."""
    same_B = labels == labels[a]
    negatives = torch.nonzero(~same_B)[:, 0]
    same_B[a] = False
    return torch.nonzero(same_B)[:, 0], negatives


def explicit(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
) -> Tensor:
    """[||a - p||^2 - ||a - n||^2 + margin]_+ of each row; mean divides by N."""
    a_ND = anchor.double()  # Once: its gradient is rounded to the inputs' dtype once.
    near_N = (a_ND - positive.double()).square().sum(dim=1)
    far_N = (a_ND - negative.double()).square().sum(dim=1)
    return reduce((near_N - far_N + margin).relu(), reduction)


def _over_all(
    embeddings: Tensor,
    labels: Tensor,
    selected_hinges: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Sums of the hinges by anchor (B), and how many triplets were selected.

    ``selected_hinges`` takes d_ap (P x 1) and d_an (1 x N) of one anchor and returns its hinges,
    zero where a triplet is not selected, and the selection, both P x N.
    """

    def row(a: int, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        d_B = _distances(x_BD, a)
        positives, negatives = _others(labels, a)
        hinge_PN, selected_PN = selected_hinges(d_B[positives, None], d_B[None, negatives])
        return hinge_PN.sum(), selected_PN.sum()

    x_BD = embeddings.double()
    # Checkpointed: the backward pass makes an anchor's triplets again instead of keeping B^3.
    rows = [
        checkpoint(row, a, x_BD, use_reentrant=False, preserve_rng_state=False)
        for a in range(len(x_BD))
    ]
    return torch.stack([term for term, _ in rows]), torch.stack([count for _, count in rows]).sum()


def batch_all(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    divisor: str = "valid",
    reduction: str = "mean",
) -> Tensor:
    """l_a = the sum of [d_ap - d_an + margin]_+ over all p and n; mean divides by the valid
    triplets, or with ``divisor="active"`` by those whose hinge is above zero."""

    def selected_hinges(d_ap: Tensor, d_an: Tensor) -> tuple[Tensor, Tensor]:
        hinge_PN = (d_ap - d_an + margin).relu()
        counted = hinge_PN > 0 if divisor == "active" else torch.ones_like(hinge_PN)
        return hinge_PN, counted

    terms_B, count = _over_all(embeddings, labels, selected_hinges)
    return reduce(terms_B, reduction, divisor=count)


def semi_hard_all(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """l_a = the sum of d_ap - d_an + margin over all p and n with d_ap < d_an < d_ap + margin;
    mean divides by the number of such triplets."""

    def selected_hinges(d_ap: Tensor, d_an: Tensor) -> tuple[Tensor, Tensor]:
        selected_PN = (d_ap < d_an) & (d_an < d_ap + margin)
        return torch.where(selected_PN, d_ap - d_an + margin, 0.0), selected_PN

    terms_B, count = _over_all(embeddings, labels, selected_hinges)
    return reduce(terms_B, reduction, divisor=count)


def _of_indices(
    embeddings: Tensor, anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float
) -> Tensor:
    """Hinges of the triplets that were mined, summed by anchor (B)."""
    x_BD = embeddings.double()
    hinge_T = explicit(
        x_BD[anchors], x_BD[positives], x_BD[negatives], margin=margin, reduction="none"
    )
    return x_BD.new_zeros(len(x_BD)).index_add(0, anchors, hinge_T)


def batch_hard(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """[max_p d_ap - min_n d_an + margin]_+ of each anchor that has a positive and a negative;
    mean divides by the number of such anchors."""
    positives, negatives = mine_batch_hard(embeddings, labels)
    anchors = torch.nonzero((positives >= 0) & (negatives >= 0))[:, 0]
    terms_B = _of_indices(embeddings, anchors, positives[anchors], negatives[anchors], margin)
    return reduce(terms_B, reduction, divisor=len(anchors))


def semi_hard(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """The sum over p of [d_ap - d_an + margin]_+ with the negative of `mine_semi_hard`; mean
    divides by the pairs (a, p) whose anchor has a negative."""
    anchors, positives, negatives = mine_semi_hard(embeddings, labels)
    terms_B = _of_indices(embeddings, anchors, positives, negatives, margin)
    return reduce(terms_B, reduction, divisor=len(anchors))


@torch.no_grad()
def mine_batch_hard(
    embeddings: Tensor, labels: Tensor, *, reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    """Farthest positive (B) and nearest negative (B) of each anchor, int64, -1 where none; of
    equals the lowest index. ``reduction`` changes nothing: indices have none."""
    x_BD = embeddings.double()
    hardest = torch.full((2, len(x_BD)), -1, dtype=torch.int64, device=x_BD.device)
    for a in range(len(x_BD)):
        d_B = _distances(x_BD, a)
        positives, negatives = _others(labels, a)
        # argmax and argmin return the first of equals, and the indices rise.
        if len(positives):
            hardest[0, a] = positives[d_B[positives].argmax()]
        if len(negatives):
            hardest[1, a] = negatives[d_B[negatives].argmin()]
    return hardest[0], hardest[1]


@torch.no_grad()
def mine_semi_hard(
    embeddings: Tensor, labels: Tensor, *, reduction: str = "mean"
) -> tuple[Tensor, Tensor, Tensor]:
    """For each pair of an anchor and a positive, in row-major order, the nearest negative with
    d_an > d_ap, or the farthest negative where none is; of equals the lowest index.

    Returns anchors, positives and negatives (T, int64); anchors without a negative give no row.
    """
    x_BD = embeddings.double()
    rows = []
    for a in range(len(x_BD)):
        d_B = _distances(x_BD, a)
        positives, negatives = _others(labels, a)
        if len(negatives) == 0:
            continue
        for p in positives:
            beyond = negatives[d_B[negatives] > d_B[p]]
            nearest_first = d_B[beyond] if len(beyond) else -d_B[negatives]
            candidates = beyond if len(beyond) else negatives
            n = candidates[nearest_first.argmin()]
            rows.append((a, int(p), int(n)))
    return _columns(torch.tensor(rows, dtype=torch.int64).reshape(-1, 3), x_BD)


@torch.no_grad()
def mine_semi_hard_all(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, reduction: str = "mean"
) -> tuple[Tensor, Tensor, Tensor]:
    """All triplets with d_ap < d_an < d_ap + margin, in lexicographic order: anchors, positives
    and negatives (T, int64)."""
    x_BD = embeddings.double()
    rows = [torch.empty(0, 3, dtype=torch.int64, device=x_BD.device)]
    for a in range(len(x_BD)):
        d_B = _distances(x_BD, a)
        positives, negatives = _others(labels, a)
        d_ap, d_an = d_B[positives, None], d_B[None, negatives]
        p, n = torch.nonzero((d_ap < d_an) & (d_an < d_ap + margin), as_tuple=True)
        rows.append(torch.stack((torch.full_like(p, a), positives[p], negatives[n]), dim=1))
    return _columns(torch.cat(rows), x_BD)


def _columns(rows_T3: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    anchors, positives, negatives = rows_T3.to(like.device).unbind(dim=1)
    return anchors.contiguous(), positives.contiguous(), negatives.contiguous()
