"""Real embeddings: a small network, trained for a moment on scikit-learn's digits.

Drawn embeddings spread as the draw says; real ones have some classes near each other, a few hard
pairs and many easy ones, and norms that differ: mining and margins behave differently there.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from marginbench.checks import InputError
from marginbench.inputs import Batch
from marginbench.loss import Shape

from . import backbones, sampling
from .datasets import digits
from .loop import cpu_threads

CLASSES = 10
# Few steps on purpose: fully trained, hardly a triplet would still violate its margin.
_EPOCHS = 3
_BATCH = 64


def batch(shape: Shape, seed: int, *, unit: bool = False) -> Batch:
    """A float32 batch on the CPU of embeddings of ``shape.batch`` different images of digits.

    ``shape.dim`` is the width of the network's last layer; class weights and bias are the head
    that it was trained with, centers the means of each class's embeddings over all images;
    second and third are embeddings of another image of the row's digit and of another digit.
    ``unit`` puts embeddings (and so what centers average) on the unit sphere.
    Raises InputError unless ``shape.classes`` is 10 and ``shape.batch`` at most 1,797.
    """
    if shape.classes != CLASSES:
        raise InputError("shape.classes", f"{CLASSES}, as digits have", shape.classes)
    x_ND, labels_N, weights_CD, bias_C = _trained(shape.dim, seed)
    if not 1 <= shape.batch <= len(labels_N):
        raise InputError("shape.batch", f"1 to {len(labels_N)}, as digits have", shape.batch)
    if unit:
        x_ND = F.normalize(x_ND)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(labels_N), generator=generator)[: shape.batch]
    second, third = sampling.partners(labels_N, rows, generator)
    return Batch(
        embeddings=x_ND[rows],
        labels=labels_N[rows],
        class_weights=weights_CD.clone(),
        bias=bias_C.clone(),
        centers=torch.stack([x_ND[labels_N == c].mean(0) for c in range(CLASSES)]),
        second=x_ND[second],
        third=x_ND[third],
        different=torch.rand(shape.batch, generator=generator) < 0.5,
        more=shape.more,
        seed=seed,
    )


@functools.cache
def _trained(dim: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings (N x D) of all digits, their labels (N), the head's weights (C x D) and bias (C).

    Trained with PyTorch's own cross-entropy, so that no loss that is measured makes the data it
    is measured on. The same for the same seed on one machine, bit for bit.
    """
    source = digits()
    images, labels_N = source.images[torch.arange(len(source.identities))], source.identities
    generator = torch.Generator().manual_seed(seed)
    network = backbones.build("mlp", (1, 8, 8), dim, generator)
    weights_CD = torch.randn(CLASSES, dim, generator=generator) / dim**0.5
    bias_C = torch.zeros(CLASSES)
    head = [weights_CD.requires_grad_(), bias_C.requires_grad_()]
    optimiser = torch.optim.Adam([*network.parameters(), *head], lr=1e-3)
    with cpu_threads(1), torch.enable_grad():
        for _ in range(_EPOCHS):
            for rows in sampling.shuffled(len(labels_N), _BATCH, generator):
                logits_BC = F.linear(network(images[rows]), weights_CD, bias_C)
                optimiser.zero_grad()
                F.cross_entropy(logits_BC, labels_N[rows]).backward()
                optimiser.step()
    with cpu_threads(1), torch.no_grad():
        x_ND = network(images)
    return x_ND, labels_N, weights_CD.detach(), bias_C.detach()
