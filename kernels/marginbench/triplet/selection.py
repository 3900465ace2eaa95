"""What each triplet variant selects, and which selections rounding could flip, in float64.

``within`` is the relative rounding of a distance made in the contender's dtype. A squared distance
of x_i and x_j made from products is off by it times the two squared norms about the batch's mean;
pairs nearer than `CLOSE` times those are made from the difference (see `shared.distances`), so
that ``within`` over `CLOSE` of the distance itself is as far as any may be off.

Legend: B batch; T decisions; d distances; off how far each may be off.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..selections import ACTIVE, Selection, selection
from ..shared.distances import CLOSE
from .reference import mine_batch_hard, mine_semi_hard

_TRIPLET = ("anchor", "positive", "negative")
_Found = tuple[int, Tensor, Tensor, Tensor]


def _distances(embeddings: Tensor, within: float) -> tuple[Tensor, Tensor]:
    """d_BB from differences, and off_BB."""
    x_BD = embeddings.detach().double().contiguous()
    d_BB = torch.stack([(x_BD - x_D).square().sum(dim=1) for x_D in x_BD])
    norms_B = (x_BD - x_BD.mean(dim=0)).square().sum(dim=1)
    return d_BB, within * torch.minimum(norms_B[:, None] + norms_B, d_BB / CLOSE)


def _near(gap: Tensor, off: Tensor) -> Tensor:
    """Close enough to be flipped, and not equal: for ties there is a rule."""
    return (gap != 0) & (gap.abs() <= off)


def _hinges(column: int, hinge_T: Tensor, off_T: Tensor, size_T: Tensor, on_T: Tensor) -> _Found:
    """The hinges next to 0: active or not."""
    t = torch.nonzero(_near(hinge_T, off_T))[:, 0]
    return column, t, 1 - on_T[t].long(), (hinge_T[t].abs() / size_T[t])


def explicit(
    anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float = 0.2, within: float
) -> Selection:
    """Whether the hinge of each row is active."""
    a_ND, p_ND, n_ND = (t.detach().double() for t in (anchor, positive, negative))
    near_N, far_N = (a_ND - p_ND).square().sum(dim=1), (a_ND - n_ND).square().sum(dim=1)
    hinge_N, size_N = near_N - far_N + margin, near_N + far_N + margin
    on_N = hinge_N > 0
    rows = torch.arange(len(a_ND), device=a_ND.device)[:, None]
    # Each distance is made of one difference: no product loses digits.
    found = _hinges(0, hinge_N, within * size_N, size_N, on_N)
    return selection(rows, on_N[:, None].long(), ("row",), (ACTIVE,), found)


def _triplets(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All anchors, positives and negatives in lexicographic order (T each)."""
    same_BB = labels[:, None] == labels
    positive_BB = same_BB.clone().fill_diagonal_(False)
    a, p = torch.nonzero(positive_BB, as_tuple=True)
    pair, n = torch.nonzero(~same_BB[a], as_tuple=True)
    return a[pair], p[pair], n


def batch_all(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, divisor: str = "", within: float
) -> Selection:
    """Whether the hinge of each triplet is active; ``divisor`` changes nothing."""
    d_BB, off_BB = _distances(embeddings, within)
    a, p, n = _triplets(labels)
    hinge_T, size_T = d_BB[a, p] - d_BB[a, n] + margin, d_BB[a, p] + d_BB[a, n] + margin
    on_T = hinge_T > 0
    off_T = off_BB[a, p] + off_BB[a, n] + within * margin
    found = _hinges(0, hinge_T, off_T, size_T, on_T)
    return selection(
        torch.stack((a, p, n), dim=1), on_T[:, None].long(), _TRIPLET, (ACTIVE,), found
    )


def semi_hard_all(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, within: float
) -> Selection:
    """Whether each triplet has d_ap < d_an < d_ap + margin."""
    d_BB, off_BB = _distances(embeddings, within)
    a, p, n = _triplets(labels)
    beyond_T, hinge_T = d_BB[a, n] - d_BB[a, p], d_BB[a, p] + margin - d_BB[a, n]
    on_T = (beyond_T > 0) & (d_BB[a, n] < d_BB[a, p] + margin)
    off_T = off_BB[a, p] + off_BB[a, n]
    border_T = off_T + within * margin
    turned_T = (_near(beyond_T, off_T) & (hinge_T > -border_T)) | (
        _near(hinge_T, border_T) & (beyond_T > -off_T)
    )
    t = torch.nonzero(turned_T)[:, 0]
    gap_T = torch.minimum(beyond_T.abs(), hinge_T.abs()) / (d_BB[a, p] + d_BB[a, n] + margin)
    found = (0, t, 1 - on_T[t].long(), gap_T[t])
    return selection(
        torch.stack((a, p, n), dim=1), on_T[:, None].long(), _TRIPLET, (ACTIVE,), found
    )


def _as_extreme(
    column: int, d_TB: Tensor, off_TB: Tensor, among_TB: Tensor, taken_T: Tensor
) -> _Found:
    """Other candidates about as far as the one that was taken as the nearest or the farthest."""
    at = taken_T.clamp(min=0)[:, None]
    best_T1, off_T1 = d_TB.gather(1, at), off_TB.gather(1, at)
    near_TB = among_TB & _near(d_TB - best_T1, off_TB + off_T1) & (taken_T >= 0)[:, None]
    t, other = torch.nonzero(near_TB, as_tuple=True)
    gap = (d_TB[t, other] - best_T1[t, 0]).abs()
    return column, t, other, gap / torch.maximum(d_TB[t, other], best_T1[t, 0])


def _others(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which are positives and which are negatives of each anchor (B x B)."""
    same_BB = labels[:, None] == labels
    return same_BB.clone().fill_diagonal_(False), ~same_BB


def mined_hard(embeddings: Tensor, labels: Tensor, *, within: float) -> Selection:
    """Farthest positive and nearest negative of each anchor."""
    d_BB, off_BB = _distances(embeddings, within)
    positive_BB, negative_BB = _others(labels)
    mined = mine_batch_hard(embeddings, labels)
    about = torch.arange(len(labels), device=labels.device)[:, None]
    return selection(
        about, torch.stack(mined, dim=1), ("anchor",), ("positive", "negative"),
        _as_extreme(0, d_BB, off_BB, positive_BB, mined[0]),
        _as_extreme(1, d_BB, off_BB, negative_BB, mined[1]),
    )  # fmt: skip


def batch_hard(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, within: float
) -> Selection:
    """`mined_hard`, and whether the hinge of each anchor that has both is active."""
    mined = mined_hard(embeddings, labels, within=within)
    return _with_hinges(mined, embeddings, (mined.about[:, 0],), margin, within)


def _with_hinges(
    mined: Selection,
    embeddings: Tensor,
    subject: tuple[Tensor, ...],
    margin: float,
    within: float,
) -> Selection:
    """One more column: whether the hinge of the triplet counts; -1 is as the hinge of what was
    taken says. Next to 0 may be the hinge of what was taken, or of what could have been."""
    d_BB, off_BB = _distances(embeddings, within)
    decision, column, value = mined.flips.unbind(dim=1)
    others = mined.taken[decision]
    others[torch.arange(len(others), device=others.device), column] = value
    t = torch.cat((torch.arange(len(mined.taken), device=decision.device), decision))
    a, p, n = [*(rows[t] for rows in subject), *torch.cat((mined.taken, others)).unbind(dim=1)]
    there_T = (p >= 0) & (n >= 0)
    p, n = p.clamp(min=0), n.clamp(min=0)
    hinge_T, size_T = d_BB[a, p] - d_BB[a, n] + margin, d_BB[a, p] + d_BB[a, n] + margin
    off_T = torch.where(there_T, off_BB[a, p] + off_BB[a, n] + within * margin, -1.0)
    _, found, counts, gap = _hinges(0, hinge_T, off_T, size_T, hinge_T > 0)
    turned, first = torch.stack((t[found], counts), dim=1).unique(dim=0, return_inverse=True)
    near = gap.new_full((len(turned),), torch.inf).scatter_reduce(0, first, gap, "amin")
    last = torch.full_like(turned[:, 0], mined.taken.shape[1])
    return Selection(
        mined.subjects,
        (*mined.columns, ACTIVE),
        mined.about,
        torch.cat((mined.taken, torch.full_like(mined.taken[:, :1], -1)), dim=1),
        torch.cat((mined.flips, torch.stack((turned[:, 0], last, turned[:, 1]), dim=1))),
        torch.cat((mined.apart, near)),
    )


def mined_semi_hard(embeddings: Tensor, labels: Tensor, *, within: float) -> Selection:
    """For each anchor and positive the nearest negative beyond the positive, else the farthest."""
    d_BB, off_BB = _distances(embeddings, within)
    a, p, n = mine_semi_hard(embeddings, labels)
    among_TB = _others(labels)[1][a]
    d_TB, off_TB, d_T1 = d_BB[a], off_BB[a], d_BB[a, p][:, None]
    beyond_TB, off_beyond_TB = d_TB - d_T1, off_TB + off_BB[a, p][:, None]
    # Rounding may see as beyond, or not, those next to the positive; then the nearest of those
    # that are beyond whatever happens, or the farthest of all where none is, and its equals.
    hair_TB = among_TB & _near(beyond_TB, off_beyond_TB)
    surely_TB = among_TB & (beyond_TB > off_beyond_TB)
    nearest = torch.where(surely_TB, d_TB, torch.inf).argmin(dim=1)
    farthest = torch.where(among_TB, d_TB, -torch.inf).argmax(dim=1)
    none_T = ~surely_TB.any(dim=1)
    next_T1 = torch.where(none_T, farthest, nearest)[:, None]
    off_next_TB = off_TB + off_TB.gather(1, next_T1)
    level_TB = (among_TB & (none_T[:, None] | surely_TB)) & (
        (d_TB - d_TB.gather(1, next_T1)).abs() <= off_next_TB
    )
    # What has to be turned for each: its own side of the positive, or that of the one taken, or
    # the order of the two.
    n_T1 = n[:, None]
    own_TB = torch.where(hair_TB, beyond_TB.abs(), torch.inf)
    order_TB = (d_TB - d_TB.gather(1, n_T1)).abs()
    order_TB = torch.where(_near(order_TB, off_TB + off_TB.gather(1, n_T1)), order_TB, torch.inf)
    gap_TB = torch.minimum(torch.minimum(own_TB, order_TB), own_TB.gather(1, n_T1))
    possible_TB = (hair_TB | level_TB) & gap_TB.isfinite()
    possible_TB.scatter_(1, n_T1, False)
    t, other = torch.nonzero(possible_TB, as_tuple=True)
    gap = gap_TB[t, other] / torch.maximum(d_TB[t, other], d_T1[t, 0])
    about = torch.stack((a, p), dim=1)
    return selection(about, n_T1, ("anchor", "positive"), ("negative",), (0, t, other, gap))


def semi_hard(
    embeddings: Tensor, labels: Tensor, *, margin: float = 0.2, within: float
) -> Selection:
    """`mined_semi_hard`, and whether the hinge of each triplet is active."""
    mined = mined_semi_hard(embeddings, labels, within=within)
    return _with_hinges(mined, embeddings, tuple(mined.about.T), margin, within)
