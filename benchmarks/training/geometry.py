"""Where embeddings lie: angles, distances, lengths, and what class weights make of them.

Everything is in float64; angles in degrees. Shapes: N images, D dimension of an embedding,
C classes, S images of a sample.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Pairs of images grow with the square: their distances are taken on at most so many images,
# drawn once by a seed of their own (and so the same for every network).
SAMPLE = 2_000
CLASS_SAMPLE = 1_000
_SAMPLE_SEED = 2014


def sample(count: int, most: int = SAMPLE) -> Tensor:
    """The indices of at most ``most`` of ``count`` images, the same each time, in rising order."""
    generator = torch.Generator().manual_seed(_SAMPLE_SEED)
    return torch.randperm(count, generator=generator)[:most].sort()[0]


def class_means(x_ND: Tensor, classes_N: Tensor) -> Tensor:
    """The mean embedding of each class (C x D); classes are numbered from 0, none is empty."""
    size_C = torch.bincount(classes_N)
    sums_CD = torch.zeros(len(size_C), x_ND.shape[1], dtype=x_ND.dtype)
    return sums_CD.index_add_(0, classes_N, x_ND) / size_C[:, None]


def _over_classes(values_N: Tensor, classes_N: Tensor) -> float:
    """The mean over the classes of the mean inside each; without classes of a single image, which
    is its own mean and would give a width of 0. NaN where there is no other."""
    means_C = class_means(values_N[:, None], classes_N)
    return float(means_C[torch.bincount(classes_N) > 1].mean())


def _angle(cosine: Tensor) -> Tensor:
    return cosine.clamp(-1, 1).acos().rad2deg()


def _upper(matrix_SS: Tensor) -> Tensor:
    """What stands above the diagonal: each pair once."""
    return matrix_SS[torch.ones_like(matrix_SS, dtype=torch.bool).triu(1)]


def angles(u_ND: Tensor, classes_N: Tensor) -> tuple[float, float]:
    """Mean angle of an embedding to its class's mean direction, and between those, in degrees.

    The first averages within each class, then over the classes; the second over pairs of classes
    (of at most 2,000 drawn ones).
    """
    means_CD = F.normalize(class_means(u_ND, classes_N), dim=1)
    intra = _angle((u_ND * means_CD[classes_N]).sum(1))
    among_SD = means_CD[sample(len(means_CD))]
    between = _angle(_upper(among_SD @ among_SD.T))
    return _over_classes(intra, classes_N), float(between.mean())


def distances(x_SD: Tensor) -> Tensor:
    """Euclidean distances (S x S). By differences, not through a product: equal rows are 0 apart,
    which shows collapse."""
    return torch.cdist(x_SD, x_SD, compute_mode="donot_use_mm_for_euclid_dist")


def positive_and_negative(x_ND: Tensor, classes_N: Tensor) -> tuple[Tensor, Tensor, float]:
    """Distances of the pairs of one identity (of at most 1,000 images of each) and of those of
    different identities (among at most 2,000 images), each pair once; and the mean distance of
    all pairs among those 2,000."""
    order_N = torch.argsort(classes_N, stable=True)
    parts = order_N.split(torch.bincount(classes_N).tolist())
    positive = [
        _upper(distances(x_ND[part[sample(len(part), CLASS_SAMPLE)]]))
        for part in parts
        if len(part) > 1
    ]
    rows_S = sample(len(x_ND))
    among_SS = distances(x_ND[rows_S])
    different_SS = classes_N[rows_S, None] != classes_N[rows_S]
    return (
        torch.cat(positive) if positive else x_ND.new_empty(0),
        among_SS[different_SS.triu(1)],
        float(_upper(among_SS).mean()),
    )


def distance_figures(x_ND: Tensor, classes_N: Tensor) -> dict[str, float]:
    """Distances of embeddings as they are passed; NaN where there is no such pair."""
    means_CD = class_means(x_ND, classes_N)
    positive, negative, diameter = positive_and_negative(x_ND, classes_N)
    intra_N = torch.linalg.vector_norm(x_ND - means_CD[classes_N], dim=1)
    return {
        "intra_class_distance": _over_classes(intra_N, classes_N),
        "inter_class_distance": float(_upper(distances(means_CD[sample(len(means_CD))])).mean()),
        "negative_distance_p5": quantile(negative, 0.05),
        "positive_distance_mean": float(positive.mean()),
        "embedding_norm_mean": float(torch.linalg.vector_norm(x_ND, dim=1).mean()),
        "embedding_diameter": diameter,
    }


def quantile(values: Tensor, share: float) -> float:
    """The quantile by linear interpolation, for any number of values (`torch.quantile` refuses
    more than 2^24); NaN for none."""
    if len(values) == 0:
        return math.nan
    at = share * (len(values) - 1)
    low = math.floor(at)
    below = values.kthvalue(low + 1)[0]
    above = values.kthvalue(min(low + 2, len(values)))[0]
    return float(below + (above - below) * (at - low))


def spread(u_ND: Tensor) -> float:
    """Collapse indicator: mean standard deviation of the unit embeddings' coordinates x sqrt(D).

    0 where all images share one direction (collapsed), about 1 where directions are uniform.
    """
    return float(u_ND.std(dim=0, correction=0).mean()) * math.sqrt(u_ND.shape[1])


def nearest_weights(unit_CD: Tensor) -> tuple[Tensor, Tensor]:
    """For each class the angle (C) to the nearest other class weight, and which (C); the weights
    have unit length, and there are at least two. In chunks: C may be large."""
    cosine, index = [], []
    for rows in torch.arange(len(unit_CD)).split(1_000):
        among = unit_CD[rows] @ unit_CD.T
        among[torch.arange(len(rows)), rows] = -math.inf
        best = among.max(dim=1)
        cosine.append(best[0])
        index.append(best[1])
    return _angle(torch.cat(cosine)), torch.cat(index)


def angular_margin_ratio(u_ND: Tensor, labels_N: Tensor, unit_CD: Tensor) -> float:
    """How much of the angle between two class weights is left free: the mean over the classes of
    (theta_jk - phi_j - phi_k) / theta_jk.

    phi_j is the 95% quantile of the angles between the class's embeddings and its weight, k the
    class whose weight is nearest to j's, theta_jk the angle between both. Classes without an
    image are left out, as j and as k; NaN where fewer than two are left, or where two weights
    point the same way. A-Softmax with margin m holds every embedding of two classes where
    m phi <= theta - phi, so phi <= theta / (m + 1): the free part is (m - 1) / (m + 1) at least
    (Liu et al. 2017, section 3.4, property 1), and 0 for m = 1, where phi may be half of theta.
    """
    present, classes_N = torch.unique(labels_N, return_inverse=True)
    if len(present) < 2:
        return math.nan
    unit_CD = unit_CD[present]
    own_N = _angle((u_ND * unit_CD[classes_N]).sum(1))
    order_N = torch.argsort(classes_N, stable=True)
    parts = own_N[order_N].split(torch.bincount(classes_N).tolist())
    phi_C = torch.tensor([quantile(part, 0.95) for part in parts], dtype=torch.float64)
    theta_C, nearest_C = nearest_weights(unit_CD)
    return float(((theta_C - phi_C - phi_C[nearest_C]) / theta_C).mean())
