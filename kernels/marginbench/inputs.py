"""The inputs of a case: drawn at random from a seed, or taken from real embeddings.

Every variant takes its arguments from a `Batch`, so that drawn and real data go the same way.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from .fields import Field, own, sized
from .loss import Inputs, Shape, Variant


@dataclass(frozen=True)
class Batch:
    """What any loss may need of a labelled batch.

    embeddings (B x D), labels (B, int64, below C), class_weights (C x D), bias (C), centers
    (C x D); second and third (B x D) are partners of each row for explicit pairs and triplets:
    second has the same label as the row, third another one; different (B, bool) says for which
    rows a pair should take the third. All float tensors share a dtype.

    ``declared`` holds the fields that a variant declares, which are attributes too. ``more`` gives
    the sizes beyond B, D and C, and ``seed`` what is drawn from, where such a field is missing.
    """

    embeddings: Tensor
    labels: Tensor
    class_weights: Tensor
    bias: Tensor
    centers: Tensor
    second: Tensor
    third: Tensor
    different: Tensor
    more: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    declared: Mapping[str, Tensor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self.__dict__["declared"][name]
        except KeyError:
            raise AttributeError(f"a batch has no field {name!r}: no variant declares it") from None

    @property
    def shape(self) -> Shape:
        batch, dim = self.embeddings.shape
        return Shape(batch, dim, len(self.class_weights), self.more)

    def changed(self, **tensors: Tensor) -> Batch:
        """With other tensors, of its own or declared."""
        usual = {one.name for one in fields(self)}
        plain: dict[str, Any] = {k: v for k, v in tensors.items() if k in usual}
        rest = {k: v for k, v in tensors.items() if k not in usual}
        return replace(self, **plain, declared={**self.declared, **rest})


@dataclass(frozen=True)
class Maker:
    """What `Field.draw` and `Field.train` make a tensor with, in the field's sizes.

    ``batch`` is the batch that the field is for, whose device the numbers are on; the generator's
    is always the CPU. A state that is made for a training has no batch.
    """

    field: Field
    shape: Shape
    generator: torch.Generator
    batch: Any = None

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.shape.of(self.field.sizes)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu") if self.batch is None else self.batch.embeddings.device

    def normal(self) -> Tensor:
        return torch.randn(self.sizes, generator=self.generator).to(self.device)

    def uniform(self) -> Tensor:
        """Between 0 and 1."""
        return torch.rand(self.sizes, generator=self.generator).to(self.device)

    def whole(self, below: int) -> Tensor:
        """Whole numbers from 0 on."""
        return torch.randint(below, self.sizes, generator=self.generator).to(self.device)

    def distinct(self, below: int, holding: Tensor) -> Tensor:
        """Whole numbers from 0 on, none twice, rising, with all of ``holding`` among them."""
        order_N = torch.rand(below, generator=self.generator)
        order_N[holding.cpu()] = 2.0
        return order_N.topk(self.sizes[0]).indices.sort().values.to(self.device)

    def full(self, value: float) -> Tensor:
        return torch.full(self.sizes, float(value), device=self.device)

    def memory(self) -> Tensor:
        """Other samples of the batch's identities, in another order, repeated to fill it."""
        return self.batch.second[self._remembered()]

    def memory_labels(self) -> Tensor:
        return self.batch.labels[self._remembered()]

    def _remembered(self) -> Tensor:
        rows = self.shape.batch
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(rows))
        return order[torch.arange(self.shape["M"]) % rows]

    def for_a_case(self) -> Tensor:
        return self.field.draw(self) if self.field.draw else self.normal()

    def for_a_training(self) -> Tensor:
        return self.field.train(self) if self.field.train else self.for_a_case()


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
        more=shape.more,
        seed=seed,
    )


def completed(
    variant: Any, batch: Batch, make: Callable[[Field, Shape], Tensor] | None = None
) -> Batch:
    """With the fields that a variant of any tree declares. Those that the batch lacks are made by
    ``make``, or drawn from the batch's seed, each from numbers of its own."""
    shape = sized(variant, batch.shape)

    def drawn(one: Field, shape: Shape) -> Tensor:
        seed = (batch.seed * 1_000_003 + zlib.crc32(one.name.encode())) % 2**63
        return Maker(one, shape, torch.Generator().manual_seed(seed), batch).for_a_case()

    made = {
        one.name: (make or drawn)(one, shape)
        for one in own(variant)
        if one.name not in batch.declared
    }
    return batch.changed(**made) if made else batch


def arguments_of(variant: Any, batch: Batch) -> dict[str, Tensor | None]:
    """The call's tensors by name, of a variant of any tree; see `completed`."""
    return dict(variant.arguments(completed(variant, batch)))


def inputs_from(variant: Variant, batch: Batch, dtype: str, device: str) -> Inputs:
    """The variant's arguments from a batch, cast and moved; differentiable ones are leaves."""
    target = getattr(torch, dtype)
    tensors = {}
    for name, tensor in arguments_of(variant, batch).items():
        if tensor is not None:
            tensor = tensor.detach().to(device, target if tensor.is_floating_point() else None)
            tensor = tensor.clone().requires_grad_(name in variant.differentiable)
        tensors[name] = tensor
    return Inputs(tensors, variant.differentiable)


def random_inputs(variant: Variant, shape: Shape, dtype: str, device: str, seed: int) -> Inputs:
    """Random inputs of a case, the same for the same seed on every machine and device."""
    batch = random_batch(shape, seed, unit=variant.unit_embeddings)
    return inputs_from(variant, batch, dtype, device)
