"""The inputs of a case: drawn at random from a seed, or taken from real embeddings.

Every variant takes its arguments from a `Batch`, so that drawn and real data go the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .loss import Inputs, Shape, Variant


@dataclass(frozen=True)
class Batch:
    """What any loss may need of a labelled batch.

    embeddings (B x D), labels (B, int64, below C), class_weights (C x D), bias (C), centers
    (C x D); second and third (B x D) are partners of each row for explicit pairs and triplets:
    second has the same label as the row, third another one; different (B, bool) says for which
    rows a pair should take the third. All float tensors share a dtype.
    """

    embeddings: Tensor
    labels: Tensor
    class_weights: Tensor
    bias: Tensor
    centers: Tensor
    second: Tensor
    third: Tensor
    different: Tensor


def random_batch(shape: Shape, seed: int, *, unit: bool = False) -> Batch:
    """A float32 batch on the CPU whose classes overlap, so that some triplets are active.

    In high dimension random distances hardly vary, so overlap takes care: on the unit sphere the
    noise is twice a prototype's length, which makes 20% of the triplets active at D = 128 and
    margin 0.2 (5% at D = 512); elsewhere the rows' lengths vary by a factor of 0.2 to 1.2, which
    brings 23% of the different pairs within a distance of 1.

    Labels cover each class equally often (up to one) where B >= C, so that B / C samples of an
    identity are in the batch; with B < C they are drawn without order from all C classes.
    ``unit`` puts the embeddings on the unit sphere (FaceNet 2015, section 3.1).
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    if shape.batch >= shape.classes:
        labels = torch.arange(shape.batch) % shape.classes
        labels = labels[torch.randperm(shape.batch, generator=generator)]
    else:
        labels = torch.randint(shape.classes, (shape.batch,), generator=generator)
    other = (labels + 1) % shape.classes
    prototypes = normal(shape.classes, shape.dim) / shape.dim**0.5
    spread = (2.0 if unit else 0.7) / shape.dim**0.5

    def around(of: Tensor) -> Tensor:
        x = prototypes[of] + spread * normal(shape.batch, shape.dim)
        if unit:
            return torch.nn.functional.normalize(x, dim=1)
        return x * (0.2 + torch.rand(shape.batch, 1, generator=generator))

    return Batch(
        embeddings=around(labels),
        labels=labels,
        class_weights=normal(shape.classes, shape.dim) / shape.dim**0.5,
        bias=0.1 * normal(shape.classes),
        centers=prototypes + 0.3 * normal(shape.classes, shape.dim) / shape.dim**0.5,
        second=around(labels),
        third=around(other),
        different=torch.rand(shape.batch, generator=generator) < 0.5,
    )


def inputs_from(variant: Variant, batch: Batch, dtype: str, device: str) -> Inputs:
    """The variant's arguments from a batch, cast and moved; differentiable ones are leaves."""
    target = getattr(torch, dtype)
    tensors = {}
    for name, tensor in variant.arguments(batch).items():
        if tensor is not None:
            tensor = tensor.detach().to(device, target if tensor.is_floating_point() else None)
            tensor = tensor.clone().requires_grad_(name in variant.differentiable)
        tensors[name] = tensor
    return Inputs(tensors, variant.differentiable)


def random_inputs(variant: Variant, shape: Shape, dtype: str, device: str, seed: int) -> Inputs:
    """Random inputs of a case, the same for the same seed on every machine and device."""
    batch = random_batch(shape, seed, unit=variant.unit_embeddings)
    return inputs_from(variant, batch, dtype, device)
