"""The definitions of the triplet loss and of its mining rules, in float64, an anchor at a time.

a, p, n anchor, positive and negative (N x D each), or x embeddings (B x D) with y labels (B).
Squared Euclidean distances throughout. Sources: Schroff, Kalenichenko, Philbin 2015 (FaceNet),
sections 3.1 and 3.2; Hermans, Beyer, Leibe 2017, section 2.

``selected`` puts another selection in the place of the definition's own: the ``taken`` of a
`Selection` that `selection` lists for the same variant.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..shared.reduction import reduce


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
    selected: Tensor | None = None,
) -> Tensor:
    """[||a - p||^2 - ||a - n||^2 + margin]_+ of each row; mean divides by N."""
    a_ND = anchor.double()  # Once: its gradient is rounded to the inputs' dtype once.
    near_N = (a_ND - positive.double()).square().sum(dim=1)
    far_N = (a_ND - negative.double()).square().sum(dim=1)
    return reduce(_counted(near_N - far_N + margin, selected), reduction)


def _counted(hinge_T: Tensor, selected: Tensor | None) -> Tensor:
    """The hinges above 0, unless the last column of ``selected`` says that one counts (1) or not
    (0)."""
    if selected is None:
        return hinge_T.relu()
    says_T = selected[:, -1]
    return torch.where(says_T == 1, hinge_T, torch.where(says_T == 0, 0.0, hinge_T.relu()))


def _over_all(
    embeddings: Tensor,
    labels: Tensor,
    selects: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    selected: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Sums of the selected hinges by anchor (B), and how many triplets were selected.

    ``selects`` takes d_ap (P x 1) and d_an (1 x N) of one anchor and returns which triplets count
    (P x N); ``selected`` says it for all triplets in lexicographic order instead.
    """

    def row(a: int, x_BD: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        d_B = _distances(x_BD, a)
        positives, negatives = _others(labels, a)
        d_ap, d_an = d_B[positives, None], d_B[None, negatives]
        counts_PN = (
            selects(d_ap, d_an) if given is None else given.view(len(positives), len(negatives))
        )
        hinge_PN = torch.where(counts_PN, d_ap - d_an + margin, 0.0)
        return hinge_PN.sum(), counts_PN.sum()

    x_BD = embeddings.double().contiguous()
    given: list[Tensor | None] = [None] * len(x_BD)
    if selected is not None:
        others = [_others(labels, a) for a in range(len(x_BD))]
        sizes = [len(positives) * len(negatives) for positives, negatives in others]
        given = list((selected[:, 0] == 1).split(sizes))
    # Checkpointed: the backward pass recomputes an anchor's triplets instead of keeping B^3.
    rows = [
        checkpoint(row, a, x_BD, given[a], use_reentrant=False, preserve_rng_state=False)
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
    selected: Tensor | None = None,
) -> Tensor:
    """l_a = the sum of [d_ap - d_an + margin]_+ over all p and n; mean divides by the valid
    triplets, or with ``divisor="active"`` by those whose hinge is above zero."""

    def active(d_ap: Tensor, d_an: Tensor) -> Tensor:
        return d_ap - d_an + margin > 0

    terms_B, count = _over_all(embeddings, labels, active, margin, selected)
    if divisor == "valid":
        same_B = (labels[:, None] == labels).sum(dim=1)
        count = ((same_B - 1) * (len(labels) - same_B)).sum()
    return reduce(terms_B, reduction, divisor=count)


def semi_hard_all(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
    selected: Tensor | None = None,
) -> Tensor:
    """l_a = the sum of d_ap - d_an + margin over all p and n with d_ap < d_an < d_ap + margin;
    mean divides by the number of such triplets."""

    def semi_hard(d_ap: Tensor, d_an: Tensor) -> Tensor:
        return (d_ap < d_an) & (d_an < d_ap + margin)

    terms_B, count = _over_all(embeddings, labels, semi_hard, margin, selected)
    return reduce(terms_B, reduction, divisor=count)


def _of_indices(
    embeddings: Tensor,
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    margin: float,
    selected: Tensor | None,
) -> Tensor:
    """Hinges of the triplets that were mined, summed by anchor (B)."""
    x_BD = embeddings.double().contiguous()
    hinge_T = explicit(
        x_BD[anchors], x_BD[positives], x_BD[negatives],
        margin=margin, reduction="none", selected=selected,
    )  # fmt: skip
    return x_BD.new_zeros(len(x_BD)).index_add(0, anchors, hinge_T)


def batch_hard(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
    selected: Tensor | None = None,
) -> Tensor:
    """[max_p d_ap - min_n d_an + margin]_+ of each anchor that has a positive and a negative;
    mean divides by the number of such anchors."""
    if selected is None:
        positives, negatives = mine_batch_hard(embeddings, labels)
    else:
        positives, negatives = selected[:, 0], selected[:, 1]
    anchors = torch.nonzero((positives >= 0) & (negatives >= 0))[:, 0]
    given = None if selected is None else selected[anchors]
    positives, negatives = positives[anchors], negatives[anchors]
    terms_B = _of_indices(embeddings, anchors, positives, negatives, margin, given)
    return reduce(terms_B, reduction, divisor=len(anchors))


def semi_hard(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    reduction: str = "mean",
    selected: Tensor | None = None,
) -> Tensor:
    """The sum over p of [d_ap - d_an + margin]_+ with the negative of `mine_semi_hard`; mean
    divides by the pairs (a, p) whose anchor has a negative."""
    anchors, positives, negatives = mine_semi_hard(embeddings, labels)
    if selected is not None:
        negatives = selected[:, 0]
    terms_B = _of_indices(embeddings, anchors, positives, negatives, margin, selected)
    return reduce(terms_B, reduction, divisor=len(anchors))


@torch.no_grad()
def mine_batch_hard(
    embeddings: Tensor, labels: Tensor, *, reduction: str = "mean"
) -> tuple[Tensor, Tensor]:
    """Farthest positive (B) and nearest negative (B) of each anchor, int64, -1 where none; ties
    go to the lowest index. ``reduction`` changes nothing: indices have none."""
    x_BD = embeddings.double().contiguous()
    hardest = torch.full((2, len(x_BD)), -1, dtype=torch.int64, device=x_BD.device)
    for a in range(len(x_BD)):
        d_B = _distances(x_BD, a)
        positives, negatives = _others(labels, a)
        # argmax and argmin return the first of equal values, and the indices rise.
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
    d_an > d_ap, or the farthest negative where none is; ties go to the lowest index.

    Returns anchors, positives and negatives (T, int64); anchors without a negative give no row.
    """
    x_BD = embeddings.double().contiguous()
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
    x_BD = embeddings.double().contiguous()
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
