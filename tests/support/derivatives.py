"""Whether a variant's gradient is the derivative of its value, as its declaration says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import pytest
import torch
from torch import Tensor

from marginbench.fields import Shape
from marginbench.inputs import random_inputs
from marginbench.loss import Inputs, Loss, Variant

# Of a difference over twice this step, in float64: the step's own error is some 1e-12 of the third
# derivative, that of rounding some 1e-10 of the value.
_STEP = 1e-6
# An odd number of batches: a kink that lies within the step, as it does once in many thousand
# draws, spoils one of them and not the median.
_BATCHES = 5
_EXACT = 1e-5
_SHAPES = {"head": Shape(7, 5, 11), "batch": Shape(11, 5, 3), "rows": Shape(7, 5, 3)}


def faults(loss: Loss, variant: Variant, seed: int) -> Iterator[str]:
    """What the reference's gradient is against what is declared, a sentence for each fault."""
    apart = median(
        _apart(loss.resolve(variant.contender("reference").entry), variant, seed + k)
        for k in range(_BATCHES)
    )
    if variant.surrogate_gradient and apart <= _EXACT:
        yield "surrogate_gradient: expected none, for its gradient is the derivative of its value"
    if not variant.surrogate_gradient and apart > _EXACT:
        yield f"its gradient is {apart:.2g} off the derivative of its value: surrogate_gradient?"


def _apart(function: Callable[..., Tensor], variant: Variant, seed: int) -> float:
    """How far the gradient is from a difference of values, along a random direction of all
    differentiable arguments, relative to the larger of the two."""
    shape = _SHAPES[variant.family]
    inputs = random_inputs(variant, shape, "float64", "cpu", seed)
    leaves = {name: inputs.tensors[name] for name in inputs.differentiable}
    value = _sum(function, variant, inputs, leaves)
    gradients = torch.autograd.grad(value, list(leaves.values()))
    generator = torch.Generator().manual_seed(seed)
    ways = {
        name: torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
        for name, leaf in leaves.items()
    }
    along = sum(float((g * w).sum()) for g, w in zip(gradients, ways.values(), strict=True))
    ahead, behind = (
        float(_sum(function, variant, inputs, {
            name: leaf.detach() + by * ways[name] for name, leaf in leaves.items()
        }))
        for by in (_STEP, -_STEP)
    )  # fmt: skip
    difference = (ahead - behind) / (2 * _STEP)
    return abs(along - difference) / max(abs(along), abs(difference), 1.0)


def _sum(
    function: Callable[..., Tensor], variant: Variant, inputs: Inputs, leaves: dict[str, Tensor]
) -> Tensor:
    return function(**{**inputs.tensors, **leaves}, **variant.options, reduction="sum")


def skip_surrogate(variant: Variant) -> None:
    """Ends a test against finite differences where the gradient is not meant to be theirs."""
    if variant.surrogate_gradient:
        pytest.skip(f"held against its reference's gradient: {variant.surrogate_gradient}")
