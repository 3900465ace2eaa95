"""Which images a step sees. Everything is drawn from the generator that is passed.

One epoch is as many batches as whole batches fit into the images, for every sampler, so that
losses of different families take equally many steps on equally many images.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from marginbench.checks import InputError


def steps_per_epoch(count: int, batch: int) -> int:
    """Whole batches in ``count`` images; raises InputError where there is none."""
    if count < batch:
        raise InputError("batch", f"at most the {count} images there are", batch)
    return count // batch


def fitting(labels: Tensor, identities: int, images: int) -> tuple[int, int]:
    """P and K that there are images for, from those asked for and the labels trained on.

    Of fewer identities than P all are taken, and of each so many more images that a step sees as
    many as before (or just fewer); then K is cut to what one batch an epoch leaves.
    """
    there = len(torch.unique(labels))
    if identities > there:
        identities, images = there, identities * images // there
    return identities, min(images, len(labels) // identities)


def shuffled(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Every image at most once an epoch, in batches of indices (batch,)."""
    order = torch.randperm(count, generator=generator)
    for step in range(steps_per_epoch(count, batch)):
        yield order[step * batch : (step + 1) * batch]


def identity_balanced(
    labels: Tensor, identities: int, images: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """P identities x K images a batch (``identities`` x ``images``), drawn anew for each batch.

    Identities are drawn without replacement; so are an identity's images, unless it has fewer
    than K, which are then all taken and filled up with repeats.
    """
    sizes = torch.unique(labels, return_counts=True)[1]
    members = torch.argsort(labels, stable=True).split(sizes.tolist())
    if not 1 <= identities <= len(members):
        raise InputError("identities", f"1 to the {len(members)} there are", identities)

    def draw(of: Tensor) -> Tensor:
        chosen = of[torch.randperm(len(of), generator=generator)[:images]]
        if len(chosen) < images:
            repeats = torch.randint(len(of), (images - len(chosen),), generator=generator)
            chosen = torch.cat([chosen, of[repeats]])
        return chosen

    for _ in range(steps_per_epoch(len(labels), identities * images)):
        order = torch.randperm(len(members), generator=generator)[:identities]
        yield torch.cat([draw(members[i]) for i in order.tolist()])


def partners(labels: Tensor, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each of ``rows`` another image of its identity and one of another identity.

    labels (N) are those of all images, rows (B) index them; both results are indices (B), drawn
    uniformly from what qualifies. Raises InputError if an identity has a single image, or if
    there is a single identity.
    """
    # In an order where each identity's images stand together, what qualifies is a run of
    # neighbours (with wrap-around), and a draw is an offset into it.
    order = torch.argsort(labels, stable=True)
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order))
    size = torch.bincount(labels)
    start = size.cumsum(0) - size
    n, first = size[labels[rows]], start[labels[rows]]
    if int(n.min()) < 2:
        lonely = int(labels[rows][n.argmin()])
        raise InputError("labels", "at least two images of an identity", f"one of {lonely}")
    if int(n.max()) == len(labels):
        raise InputError("labels", "at least two identities", "one")

    def below(bound: Tensor) -> Tensor:
        drawn = torch.rand(len(rows), dtype=torch.float64, generator=generator)
        return (drawn * bound).long()

    rank = position[rows] - first
    same = order[first + (rank + 1 + below(n - 1)) % n]
    other = order[(first + n + below(len(labels) - n)) % len(labels)]
    return same, other
