"""Does the nearest image show the same identity: recall at 1, and mean average precision at R.

Shapes: N images, D dimension of an embedding, Q queries of a chunk, K answers asked for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Scores held at once: Q x N float64 numbers, 8 MB.
_CHUNK = 1_000_000
_TIE_SEED = 2020


def retrieval(u_ND: Tensor, labels_N: Tensor) -> tuple[float, float]:
    """Recall at 1 and mean average precision at R (Musgrave, Belongie, Lim 2020, section 3.2) of
    unit embeddings in float64, by cosine; NaN where no identity has two images.

    Each image asks all others; R is how many of them share its identity. AP@R averages over the
    first R answers the precision so far where the answer is right, and 0 where it is not. Images
    without another of their identity ask nothing but may be answers. Equal scores are answered
    in an order drawn once from a seed of its own, so that a collapsed network, whose scores are
    all equal, scores what chance does and not what the order of the images gives it.

    pytorch-metric-learning's AccuracyCalculator computes the same means in float32 and takes
    equal scores in whatever order its search returns; torchmetrics takes one query at a time.
    """
    generator = torch.Generator().manual_seed(_TIE_SEED)
    order_N = torch.randperm(len(labels_N), generator=generator)
    u_ND, labels_N = u_ND[order_N], torch.unique(labels_N[order_N], return_inverse=True)[1]
    r_N = torch.bincount(labels_N)[labels_N] - 1
    asks_N = (r_N > 0).nonzero()[:, 0]
    if len(asks_N) == 0:
        return math.nan, math.nan
    # Queries of equal R together: each chunk asks for as many answers as its largest R.
    asks_N = asks_N[r_N[asks_N].argsort(stable=True)]
    first, average = [], []
    chunk = max(1, _CHUNK // len(labels_N))
    # One buffer for all chunks: freed and taken anew, they leave the heap in pieces.
    buffer = u_ND.new_empty(chunk, len(labels_N))
    for rows_Q in asks_N.split(chunk):
        r_Q = r_N[rows_Q]
        scores_QN = torch.mm(u_ND[rows_Q], u_ND.T, out=buffer[: len(rows_Q)])
        # The image itself is never among the answers: there are at least R better ones.
        scores_QN[torch.arange(len(rows_Q)), rows_Q] = -math.inf
        answers_QK = nearest(scores_QN, int(r_Q.max()))
        right_QK = (labels_N[answers_QK] == labels_N[rows_Q, None]).double()
        rank_K = torch.arange(1, right_QK.shape[1] + 1, dtype=torch.float64)
        counted_QK = right_QK * right_QK.cumsum(1) / rank_K * (rank_K <= r_Q[:, None])
        first.append(right_QK[:, 0])
        average.append(counted_QK.sum(1) / r_Q)
    return float(torch.cat(first).mean()), float(torch.cat(average).mean())


def nearest(scores_QN: Tensor, k: int) -> Tensor:
    """The columns (Q x k, int64) of each row's k highest scores, highest first; of equal scores
    the lower column comes first, which `torch.topk` alone does not promise."""
    values, columns = scores_QN.topk(min(k + 1, scores_QN.shape[1]), dim=1)
    columns = columns[:, :k]
    tied_Q = (values[:, 1:] == values[:, :-1]).any(1)
    if bool(tied_Q.any()):
        columns[tied_Q] = _stable(scores_QN[tied_Q], values[tied_Q, k - 1 : k], k)
    return columns


def _stable(scores_QN: Tensor, kth_Q1: Tensor, k: int) -> Tensor:
    """As `nearest`: what lies above the k-th score, and of those level with it the first."""
    above_QN, level_QN = scores_QN > kth_Q1, scores_QN == kth_Q1
    wanted_Q1 = k - above_QN.sum(1, keepdim=True)
    taken_QN = above_QN | (level_QN & (level_QN.cumsum(1, dtype=torch.int32) <= wanted_Q1))
    columns_QK = taken_QN.nonzero()[:, 1].view(-1, k)
    order_QK = scores_QN.gather(1, columns_QK).sort(dim=1, descending=True, stable=True)[1]
    return columns_QK.gather(1, order_QK)
