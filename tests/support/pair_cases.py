"""Cases and comparisons shared by the tests of the losses over pairs and triplets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import marginbench.shared.distances as distances
import marginbench.shared.positives as positives
from marginbench import catalogue
from marginbench.loss import Loss, Shape, Variant

EPS = torch.finfo(torch.float32).eps
# A squared distance by the Gram form is a sum of D products, off by some eps of the norms' sum;
# of a pair that is just not close, that is 1 / CLOSE of the squared distance.
DISTANCE = 16 * EPS / distances.CLOSE
# Batch x D x identities: one sample; two of one identity, of two; no positives; no negatives; a
# prime mixture; pairs of samples; half the batch positive; more rows than a block of 16 four times.
SHAPES = (Shape(1, 3, 1), Shape(2, 5, 1), Shape(2, 5, 2), Shape(7, 3, 7), Shape(11, 4, 1),
          Shape(37, 7, 9), Shape(16, 16, 8), Shape(46, 5, 2), Shape(83, 6, 5))  # fmt: skip


def variants(loss: str, *families: str, output: str = "loss") -> list[Any]:
    found = catalogue.get(loss)
    return [
        pytest.param(found, variant, id=variant.name)
        for variant in found.variants
        if variant.family in families and variant.output == output
    ]


def grid(shape: Shape, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A labelled batch whose squared distances and hinges no dtype rounds.

    Embeddings are multiples of 1/4 up to 1, so squared distances are multiples of 1/16 below 2^7.
    With a margin of 1/4 kinks are met exactly, and there are many ties.
    """
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randint(-4, 5, (shape.batch, shape.dim), generator=generator) / 4
    order = torch.randperm(shape.batch, generator=generator)
    return {"embeddings": x_BD.to(dtype), "labels": order % shape.classes}


def grid_upstream(count: int, reduction: str, seed: int) -> Tensor:
    """A gradient from above that differs from term to term, exact in every dtype."""
    generator = torch.Generator().manual_seed(seed + 1)
    size = (count,) if reduction == "none" else ()
    return torch.randint(-4, 5, size, generator=generator, dtype=torch.float64) / 4


@dataclass(frozen=True)
class Outcome:
    value: Tensor
    gradients: tuple[Tensor, ...]


def outcome_of(
    function: Any,
    tensors: Mapping[str, Tensor],
    differentiable: tuple[str, ...],
    options: Mapping[str, Any],
    reduction: str,
    upstream: Tensor,
) -> Outcome:
    leaves = {name: tensor.clone() for name, tensor in tensors.items()}
    for name in differentiable:
        leaves[name].requires_grad_()
    value = function(**leaves, **options, reduction=reduction)
    gradients = torch.autograd.grad(
        value, [leaves[name] for name in differentiable], upstream.to(value.dtype)
    )
    for name, tensor in tensors.items():
        assert torch.equal(leaves[name], tensor), f"{name} was changed"
    return Outcome(value.detach(), gradients)


def resolved(loss: Loss, variant: Variant, contender: str) -> Callable[..., Tensor]:
    return loss.resolve(variant.contender(contender).entry)


def compare(
    loss: Loss,
    variant: Variant,
    tensors: Mapping[str, Tensor],
    reduction: str,
    bound: float,
    seed: int,
    contender: str = "eager",
    **options: Any,
) -> None:
    """A contender against the reference on the same numbers: value and gradients within ``bound``,
    relative to their norm."""
    options = {**variant.options, **options}
    count = len(next(iter(tensors.values())))
    arguments = (variant.differentiable, options, reduction, grid_upstream(count, reduction, seed))
    wide = {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}
    truth = outcome_of(resolved(loss, variant, "reference"), wide, *arguments)
    got = outcome_of(resolved(loss, variant, contender), tensors, *arguments)
    dtype = next(t.dtype for t in tensors.values() if t.is_floating_point())
    assert got.value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_near("value", got.value, truth.value, bound)
    for name, mine, right in zip(
        variant.differentiable, got.gradients, truth.gradients, strict=True
    ):
        assert mine.dtype == dtype
        # Rounded to the inputs' dtype in the end.
        assert_near(name, mine, right, bound + torch.finfo(dtype).eps)


def assert_near(name: str, got: Tensor, right: Tensor, bound: float) -> None:
    assert torch.isfinite(got).all(), name
    error, size = float((got.double() - right.double()).norm()), float(right.double().norm())
    assert error <= bound * size, f"{name}: error {error:.3g} on {size:.3g}, allowed {bound:.3g}"


def force_static_shapes(patch: pytest.MonkeyPatch) -> None:
    """What runs on a GPU and under torch.compile: no shape depends on data."""
    patch.setattr(distances, "static_shapes", lambda tensor: True)
    patch.setattr(positives, "static_shapes", lambda tensor: True)


def force_small_blocks(patch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 anchors, the fewest."""
    patch.setattr(distances, "_BLOCK_CPU", 1)
    patch.setattr(distances, "_DIFFERENCES", 64)


class Largest(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operator returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self.elements = max(self.elements, tensor.untyped_storage().nbytes() // 4)
        return out


def _tensors(out: Any) -> Iterator[Tensor]:
    if isinstance(out, Tensor):
        yield out
    elif isinstance(out, tuple | list):
        for item in out:
            yield from _tensors(item)
