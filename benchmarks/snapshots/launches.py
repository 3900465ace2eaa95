"""Every launch of the Triton contenders, recorded without a GPU: what there is to compile or check.

The launches follow from the catalogue alone: a new loss is in as soon as its folder is there. All
inputs are zeros, since a recording never reads what a kernel would have computed::

    for at, launches in recordings("sm_90", origins()):
        ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.instruments import gpus
from marginbench import catalogue
from marginbench.fields import Field
from marginbench.inputs import Batch, completed
from marginbench.loss import Loss, Shape, Variant
from marginbench.shared.architectures import DEFAULT_ARCHITECTURE
from marginbench.shared.launching import Launch, recorded
from suites.shapes import shapes_of

from .. import library
from .specializations import Specialization, specialization

CONTENDER = "triton"
# By family: the usual size; for a head also a small batch, which has other tiles; and one with
# unaligned rows, which compiles to narrow loads.
SHAPES: Mapping[str, tuple[Shape, ...]] = {
    "head": (Shape(1024, 512, 100_000), Shape(64, 512, 100_000), Shape(1024, 130, 10_000)),
    "batch": (Shape(1024, 512, 256), Shape(1024, 130, 256)),
    "rows": (Shape(16_384, 128, 4096), Shape(16_384, 130, 4096)),
}


@dataclass(frozen=True)
class Origin:
    """Who launches: a variant of a loss at a size, in a dtype."""

    loss: str
    variant: str
    shape: Shape
    dtype: str

    def __str__(self) -> str:
        return f"{self.loss}/{self.variant}/{self.shape}/{self.dtype}"


def origins(losses: Collection[str] = ()) -> Iterator[Origin]:
    """Every variant that has a Triton contender, at each size and dtype that it takes; only at the
    first size if a sibling variant does the same work (`Variant.sweep`)."""
    for loss in catalogue.losses():
        for variant in loss.variants:
            for contender in variant.contenders:
                if contender.name != CONTENDER or (losses and loss.name not in losses):
                    continue
                sizes = shapes_of(variant, SHAPES)
                for shape in sizes if variant.sweep else sizes[:1]:
                    for dtype in contender.dtypes:
                        if not (contender.limit and contender.limit(shape, dtype)):
                            yield Origin(loss.name, variant.name, shape, dtype)


def recordings(target: str, of: Iterable[Origin]) -> Iterator[tuple[Origin, list[Launch]]]:
    """What each origin launches on ``target``, forward and, for a loss, backward with
    reduction mean. Raises RuntimeError naming the origin that could not be recorded.
    """
    batches: dict[tuple[Shape, str], Batch] = {}
    for origin in of:
        loss = catalogue.get(origin.loss)
        at = (origin.shape, origin.dtype)
        if at not in batches:
            batches[at] = zeros(origin.shape, origin.dtype)
        try:
            variant = loss.variant(origin.variant)
            launches = _record(loss, variant, batches[at], origin.dtype, target)
        except Exception as error:
            raise RuntimeError(f"{origin} on {target}: {type(error).__name__}: {error}") from error
        yield origin, launches


def prepared(
    loss: Loss, variant: Variant, batch: Batch, dtype: str
) -> tuple[Callable[..., Any], dict[str, torch.Tensor | None], list[torch.Tensor]]:
    """The Triton contender of a variant, what it is called with for a batch of `zeros`, and the
    tensors among that whose gradients are asked for."""
    function = loss.resolve(variant.contender(CONTENDER).entry)
    tensors = {
        name: tensor if tensor is None else tensor.detach()
        for name, tensor in variant.arguments(completed(variant, batch, zero(dtype))).items()
    }
    leaves = [tensor for name in variant.differentiable if (tensor := tensors[name]) is not None]
    for leaf in leaves:
        leaf.requires_grad_()
    return function, tensors, leaves


def _record(loss: Loss, variant: Variant, batch: Batch, dtype: str, target: str) -> list[Launch]:
    function, tensors, leaves = prepared(loss, variant, batch, dtype)
    options = {"reduction": "mean"} if variant.output == "loss" else {}
    processors = gpus.TARGETS[target].processors
    with (
        library.unchecked(),
        recorded(architecture=target, processors=processors) as launches,
    ):
        value = function(**tensors, **variant.options, **options)
        if leaves:
            torch.autograd.grad(value, leaves)
    return launches


def zeros(shape: Shape, dtype: str) -> Batch:
    """A batch of zeros, each class as often as any other. Its matrices are pages that are only
    ever read, so that 100,000 classes take no memory."""
    B, D, C = shape.batch, shape.dim, shape.classes
    like = getattr(torch, dtype)
    x_BD, w_CD = _zeros(B, D, dtype=like), _zeros(C, D, dtype=like)
    return Batch(
        embeddings=x_BD,
        labels=torch.arange(B) % C,
        class_weights=w_CD,
        bias=_zeros(C, dtype=like),
        centers=w_CD,
        second=x_BD,
        third=x_BD,
        different=torch.arange(B) % 2 == 0,
        more=shape.more,
    )


def zero(dtype: str) -> Callable[[Field, Shape], torch.Tensor]:
    """What makes the fields that a variant declares for a batch of `zeros`."""

    def made(field: Field, shape: Shape) -> torch.Tensor:
        kind = getattr(torch, field.dtype_in(dtype))
        return _zeros(*shape.of(field.sizes), dtype=kind)

    return made


def _zeros(*size: int, dtype: torch.dtype) -> torch.Tensor:
    """torch.zeros would write every page; these are the system's, and zero until written."""
    count = math.prod(size) * dtype.itemsize
    return torch.from_numpy(np.zeros(count, dtype=np.uint8)).view(dtype).view(size)


def specializations(target: str, losses: Collection[str] = ()) -> dict[Specialization, list[str]]:
    """What there is to compile for a target, with the losses that launch it, each in the order of
    the first launch.

    So that all of it compiles in two minutes, some stand for others that compile alike: bfloat16
    for float16 with unaligned rows; and on other targets than the default, for kernels without a
    matrix product, bfloat16 for float16 and aligned rows for unaligned ones. Raises RuntimeError if
    a loss can't be imported: its kernels would be missing unnoticed.
    """
    for failure in catalogue.failures():
        if not losses or failure.name in losses:
            raise RuntimeError(f"{failure.name} fails to import: {failure.reason}")
    of = [o for o in origins(losses) if o.shape.dim % 16 == 0 or o.dtype != "float16"]
    found: dict[Specialization, list[str]] = {}
    for origin, launches in recordings(target, of):
        plain = origin.shape.dim % 16 == 0 and origin.dtype != "float16"
        for one in map(specialization, launches):
            if plain or one.product or target == DEFAULT_ARCHITECTURE:
                launchers = found.setdefault(one, [])
                if origin.loss not in launchers:
                    launchers.append(origin.loss)
    return found
