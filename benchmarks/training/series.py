"""What figures are drawn from, as lists of numbers: the curve, the embeddings, the histograms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import positive_and_negative, sample
from .verification import Pairs, receiver_operating

POINTS = 1_000
CURVE_POINTS = 400
DISTANCE_BINS = 40
ANGLE_BINS = 36


def series(x_ND: Tensor, labels_N: Tensor, pairs: Pairs) -> dict[str, list[float]]:
    """From embeddings as the loss saw them (N x D): ``roc_far`` and ``roc_tar``;
    ``embedding_1``, ``embedding_2`` and ``embedding_identity`` of at most 1,000 images;
    ``distance_edges`` with ``positive_distance_share`` and ``negative_distance_share``; for
    D = 2 ``angle_edges`` (degrees, -180 to 180) with ``angle_share``. Shares are of all pairs or
    images, and sum to 1. What is not defined is left out; nothing for embeddings that are not
    finite.
    """
    if not bool(torch.isfinite(x_ND).all()):
        return {}
    x_ND = x_ND.detach().double()
    found = {**_curve(x_ND, pairs), **_points(x_ND, labels_N), **_distances(x_ND, labels_N)}
    if x_ND.shape[1] == 2:
        edges = torch.linspace(-180, 180, ANGLE_BINS + 1, dtype=torch.float64)
        angle_N = torch.atan2(x_ND[:, 1], x_ND[:, 0]).rad2deg()
        found |= {"angle_edges": edges.tolist(), "angle_share": _shares(angle_N, edges)}
    return found


def _curve(x_ND: Tensor, pairs: Pairs) -> dict[str, list[float]]:
    """The receiver operating curve by cosine: at most 400 of its points, the ends among them."""
    u_ND = F.normalize(x_ND, dim=1)
    scores_M = (u_ND[pairs.indices[:, 0]] * u_ND[pairs.indices[:, 1]]).sum(1)
    curve = receiver_operating(scores_M, pairs.same, corners_only=True)
    if curve is None:
        return {}
    false_accept, true_accept = curve
    rows = torch.arange(len(false_accept))
    if len(rows) > CURVE_POINTS:
        rows = rows[torch.linspace(0, len(rows) - 1, CURVE_POINTS).round().long()]
    return {"roc_far": false_accept[rows].tolist(), "roc_tar": true_accept[rows].tolist()}


def _points(x_ND: Tensor, labels_N: Tensor) -> dict[str, list[float]]:
    """Two coordinates an image: its own where D = 2, else along the two axes in which the images
    vary most, each turned so that its largest component is positive."""
    rows = sample(len(x_ND), POINTS)
    points = x_ND[rows]
    if points.shape[1] > 2 and len(points) > 2:
        points = points - points.mean(0)
        axes = torch.linalg.svd(points, full_matrices=False)[2][:2]
        largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        points = points @ (axes * torch.where(largest < 0, -1.0, 1.0)).T
    if points.shape[1] < 2:
        points = F.pad(points, (0, 1))
    return {
        "embedding_1": points[:, 0].tolist(),
        "embedding_2": points[:, 1].tolist(),
        "embedding_identity": labels_N[rows].double().tolist(),
    }


def _distances(x_ND: Tensor, labels_N: Tensor) -> dict[str, list[float]]:
    classes_N = torch.unique(labels_N, return_inverse=True)[1]
    positive, negative, _ = positive_and_negative(x_ND, classes_N)
    if len(positive) == 0 or len(negative) == 0:
        return {}
    top = max(float(positive.max()), float(negative.max()))
    edges = torch.linspace(0, top or 1.0, DISTANCE_BINS + 1, dtype=torch.float64)
    return {
        "distance_edges": edges.tolist(),
        "positive_distance_share": _shares(positive, edges),
        "negative_distance_share": _shares(negative, edges),
    }


def _shares(values: Tensor, edges: Tensor) -> list[float]:
    """The share of the values in each bin; the last bin holds its upper edge too."""
    bins = len(edges) - 1
    index = (torch.searchsorted(edges, values, right=True) - 1).clamp(0, bins - 1)
    return (torch.bincount(index, minlength=bins) / len(values)).tolist()
