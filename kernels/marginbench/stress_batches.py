"""Draws the kinds of data that `stress` names.

Each changes a `random_batch` of the same shape and seed, so that it repeats with its seed and fits
every variant. ``unit`` asks for the unit sphere; a kind whose point is another length or a common
offset starts there and leaves it. Lengths are changed by exact powers of two alone, which round
nothing within the range.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .inputs import Batch, random_batch
from .loss import Shape


def _normal(seed: int, *size: int) -> Tensor:
    """Numbers of the kind's own, beside those of `random_batch`."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed + 1_000_003))


def _of_samples(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The same change to all that lies where embeddings lie."""
    return replace(
        batch,
        embeddings=change(batch.embeddings),
        second=change(batch.second),
        third=change(batch.third),
        centers=change(batch.centers),
    )


def _around(batch: Batch, places_CD: Tensor, spread: float, seed: int, unit: bool) -> Batch:
    """Every sample within about ``spread`` of its class's place; centers at the places."""
    noise_3BD = spread * normalize(_normal(seed + 1, 3, *batch.embeddings.shape), dim=2)
    other = (batch.labels + 1) % len(places_CD)
    x, second, third = (
        places_CD[of] + noise_BD
        for of, noise_BD in zip((batch.labels, batch.labels, other), noise_3BD, strict=True)
    )
    found = replace(batch, embeddings=x, second=second, third=third, centers=places_CD)
    return _of_samples(found, lambda t: normalize(t, dim=1)) if unit else found


def confident(shape: Shape, seed: int, unit: bool) -> Batch:
    """Unit class weights, each sample close to its own: the target's logit is 38 or more above
    every other (exp(-36) is eps of float64), where the lengths are free."""
    batch = random_batch(shape, seed, unit=unit)
    # Of many directions, those farthest from each other: one a class.
    pool_KD = normalize(_normal(seed, 32 * shape.classes, shape.dim), dim=1)
    chosen, nearest_K = [0], pool_KD @ pool_KD[0]
    for _ in range(shape.classes - 1):
        chosen.append(int(nearest_K.argmin()))
        nearest_K = torch.maximum(nearest_K, pool_KD @ pool_KD[chosen[-1]])
    directions_CD = pool_KD[chosen]
    found = replace(
        _around(batch, directions_CD, 0.01, seed, True), class_weights=directions_CD.clone()
    )
    if unit:
        return found
    logits_BC = found.embeddings @ directions_CD.T
    own_B1 = logits_BC.gather(1, batch.labels[:, None])
    rest_BC = logits_BC.scatter(1, batch.labels[:, None], -1.0)
    # psi falls m^2 times as fast as the cosine; 0.01 of distance costs m = 4 less than 1e-3.
    apart = float((own_B1[:, 0] - rest_BC.amax(dim=1)).amin()) - 1e-3
    if apart <= 1e-3:  # in one dimension there are two directions and no more
        return found
    return _of_samples(found, lambda t: t * (39 / apart))


def _to_logits(batch: Batch, size: float) -> Batch:
    """Samples times the power of two that brings logits to about this size (root mean square)."""
    x_BD, w_CD = batch.embeddings.double(), batch.class_weights.double()
    usual = math.sqrt(float(x_BD.square().mean() * w_CD.square().sum(dim=1).mean()))
    exponent = round(math.log2(size / usual))
    return _of_samples(batch, lambda t: torch.ldexp(t, torch.tensor(exponent)))


def large_logits(shape: Shape, seed: int, unit: bool) -> Batch:
    """Logits of hundreds to thousands: ordinary data times a number, so that the target's is not
    the largest everywhere."""
    return _to_logits(random_batch(shape, seed, unit=unit), 1_000)


def equal_logits(shape: Shape, seed: int, unit: bool) -> Batch:
    """Class weights that differ only where all embeddings are 0, and equal biases: logits of some
    4e6, of which all of a row are equal, so that the softmax is 1/C whatever they are.

    Weights are unit rows of 2^-k alone and embeddings small integers times a power of two: logits
    are exact in whatever order they are summed. The entry of the weights that differs, by its sign,
    keeps the gradient of the embeddings from being 0. One entry of an embedding is odd and the
    others are even, so that no logit is 0: at a right angle easy margins jump.
    """
    batch = random_batch(shape, seed, unit=unit)
    generator = torch.Generator().manual_seed(seed + 1_000_003)
    halvings = int(math.log(shape.dim, 4) + 1e-9)
    used = 4**halvings
    signs_D = torch.randint(0, 2, (shape.dim,), generator=generator) * 2.0 - 1
    weights_CD = (signs_D * 2.0**-halvings * (torch.arange(shape.dim) < used)).repeat(
        shape.classes, 1
    )
    whole_BD = 2.0 * torch.randint(-4, 5, batch.embeddings.shape, generator=generator)
    whole_BD[:, 0] += 1
    if used > 1:
        weights_CD[::2, used - 1] *= -1
        whole_BD[:, used - 1] = 0
    bias = torch.full_like(batch.bias, 0.125)
    # Where every class had its share of the batch, the gradient of the bias would be 0.
    labels = torch.where(torch.arange(shape.batch) < shape.batch // 2, 0, batch.labels)
    equal = replace(batch, embeddings=whole_BD, labels=labels, class_weights=weights_CD, bias=bias)
    return _to_logits(equal, 4e6)


def common_weights(shape: Shape, seed: int, unit: bool) -> Batch:
    """A vector of 50 times a class weight's length added to all of them, and samples with a part
    along it: every logit of a row is near the same large number."""
    batch = random_batch(shape, seed, unit=unit)
    along_D = normalize(_normal(seed, 1, shape.dim), dim=1)
    moved = _of_samples(batch, lambda t: t + 5 * along_D)
    return replace(moved, class_weights=batch.class_weights + 50 * along_D)


def offset(shape: Shape, seed: int, unit: bool, spreads: float) -> Batch:
    """One vector added to all embeddings and centers, so many times as long as they spread."""
    batch = random_batch(shape, seed, unit=unit)
    x_BD = batch.embeddings
    spread = (x_BD - x_BD.mean(dim=0)).norm(dim=1).square().mean().sqrt()
    if len(x_BD) == 1:
        spread = x_BD.norm()
    offset_D = spreads * spread * normalize(_normal(seed, 1, shape.dim), dim=1)
    return _of_samples(batch, lambda t: t + offset_D)


def tight_clusters(shape: Shape, seed: int, unit: bool) -> Batch:
    """Identities some 0.35 apart (inside the margins), each within a thousandth of that."""
    batch = random_batch(shape, seed, unit=unit)
    places_CD = 0.25 * normalize(_normal(seed, shape.classes, shape.dim), dim=1)
    if unit:
        places_CD = normalize(places_CD + normalize(_normal(seed + 2, 1, shape.dim), dim=1), dim=1)
    return _around(batch, places_CD, 3.5e-4, seed, unit)


def exact_ties(shape: Shape, seed: int, unit: bool) -> Batch:
    """Quantised codes: every entry -1, 0 or 1 times the power of two that brings lengths near 1,
    so that squared distances and logits are exact in every dtype and many of them are equal."""
    batch = random_batch(shape, seed, unit=unit)
    step = 2.0 ** -round(math.log2(shape.dim) / 2)
    generator = torch.Generator().manual_seed(seed + 1_000_003)

    def codes(like: Tensor) -> Tensor:
        return step * torch.randint(-1, 2, like.shape, generator=generator).float()

    coded = _of_samples(batch, codes)
    return replace(coded, class_weights=codes(batch.class_weights), bias=codes(batch.bias))


def duplicates(shape: Shape, seed: int, unit: bool) -> Batch:
    """Every picture three times, under one label and under two; in explicit pairs and triplets a
    row's partner of the same label is the row itself in every second row, of the other label in
    every third."""
    batch = random_batch(shape, seed, unit=unit)
    row_B = torch.arange(shape.batch)
    x_BD = batch.embeddings[row_B - row_B % 3]
    first_B = batch.labels[row_B - row_B % 3]
    labels = torch.where(row_B % 3 == 1, first_B, batch.labels)
    labels = torch.where(row_B % 3 == 2, (first_B + 1) % shape.classes, labels)
    return replace(
        batch,
        embeddings=x_BD,
        labels=labels,
        second=torch.where((row_B % 2 == 0)[:, None], x_BD, batch.second),
        third=torch.where((row_B % 3 == 0)[:, None], x_BD, batch.third),
    )


def collapsed(shape: Shape, seed: int, unit: bool, spread: float) -> Batch:
    """All within ``spread`` of one point at distance 1 from the origin."""
    batch = random_batch(shape, seed, unit=unit)
    point_CD = normalize(_normal(seed, 1, shape.dim), dim=1).expand(shape.classes, -1)
    return _around(batch, point_CD.contiguous(), spread, seed, unit and spread > 0)


def identity_sorted(shape: Shape, seed: int, unit: bool) -> Batch:
    """Labels in rising order, and all samples of an identity at one point, as a network gives
    them that has collapsed each class."""
    batch = random_batch(shape, seed, unit=unit)
    batch = replace(batch, labels=batch.labels.sort().values)
    places_CD = batch.centers
    if unit:
        places_CD = normalize(places_CD, dim=1)
    return _around(batch, places_CD, 0.0, seed, False)


def length(shape: Shape, seed: int, unit: bool, exponent: int) -> Batch:
    """Embeddings and centers times a power of two."""
    batch = random_batch(shape, seed, unit=unit)
    return _of_samples(batch, lambda t: torch.ldexp(t, torch.tensor(exponent)))


def weight_length(shape: Shape, seed: int, unit: bool, exponent: int) -> Batch:
    """Class weights times a power of two."""
    batch = random_batch(shape, seed, unit=unit)
    scaled_CD = torch.ldexp(batch.class_weights, torch.tensor(exponent))
    return replace(batch, class_weights=scaled_CD)
