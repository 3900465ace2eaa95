"""Cases, outcomes and bounds shared by the tests of the heads over class weights."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.inputs import random_inputs
from marginbench.loss import REDUCTIONS, Inputs, Loss, Shape, Variant
from marginbench.shared.invariants import scaled_logit

# Every loss with a variant over class weights, with all of its variants.
HEADS = [
    loss for loss in catalogue.losses() if any(one.family == "head" for one in loss.variants)
]  # fmt: skip
VARIANTS = [
    pytest.param(loss, variant, id=f"{loss.name}/{variant.name}")
    for loss in HEADS
    for variant in loss.variants
    if variant.output == "loss"
]
# One sample, one class, one dimension, two classes; primes; a row longer than a vector register.
SHAPES = (Shape(1, 7, 5), Shape(5, 3, 1), Shape(4, 1, 3), Shape(13, 11, 2), Shape(37, 19, 23),
          Shape(3, 130, 257))  # fmt: skip
RAGGED = Shape(37, 19, 23)
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Outcome:
    """A loss's value and its gradients by argument, and what flowed into each term from above."""

    value: Tensor
    gradients: dict[str, Tensor]
    upstream_norm: float


def draw(variant: Variant, shape: Shape, dtype: str, seed: int) -> Inputs:
    return random_inputs(variant, shape, dtype, "cpu", seed)


def function_of(loss: Loss, variant: Variant, contender: str):
    return loss.resolve(variant.contender(contender).entry)


def upstream_for(inputs: Inputs, reduction: str, seed: int) -> Tensor:
    """A gradient from above that differs from term to term and in sign."""
    batch = len(inputs.tensors["labels"])
    generator = torch.Generator().manual_seed(seed + 1)
    size = (batch,) if reduction == "none" else ()
    return torch.randn(size, generator=generator, dtype=torch.float64) + 0.5


def outcome_of(function, inputs: Inputs, options, reduction: str, seed: int) -> Outcome:
    upstream = upstream_for(inputs, reduction, seed)
    value = function(**inputs.tensors, **options, reduction=reduction)
    leaves = [inputs.tensors[name] for name in inputs.differentiable]
    gradients = torch.autograd.grad(value, leaves, upstream.to(value.dtype))
    batch = len(inputs.tensors["labels"])
    per_term = {"none": 1.0, "sum": batch**0.5, "mean": batch**-0.5}[reduction]
    named = dict(zip(inputs.differentiable, gradients, strict=True))
    return Outcome(value.detach(), named, per_term * float(upstream.norm()))


def truth_of(loss: Loss, variant: Variant, inputs: Inputs, reduction: str, seed: int) -> Outcome:
    """The reference on the same numbers in float64."""
    tensors = {
        name: tensor.detach().double() if tensor.is_floating_point() else tensor
        for name, tensor in inputs.tensors.items()
    }
    for name in inputs.differentiable:
        tensors[name].requires_grad_()
    wide = Inputs(tensors, inputs.differentiable)
    function = function_of(loss, variant, "reference")
    return outcome_of(function, wide, variant.options, reduction, seed)


def bound_of(inputs: Inputs, options) -> float:
    """Allowed error, relative to the larger of the truth and what flows in from above.

    A logit of size up to L = max ||x|| max(1, ||w||) passes through about four roundings of
    eps L on its way into a term and a gradient. In float32 and float64 the sums over D round too,
    about sqrt(D) eps by their random signs, and psi's slope by the cosine is at most m^2. For
    half dtypes both happen in float32 and do not count. Where only the direction of a class
    weight counts, its gradient is divided by its length. Over cosines L goes by the scale instead
    (`invariants.scaled_logit` derives it).
    """
    x, weights = inputs.tensors["embeddings"], inputs.tensors.get("class_weights")
    largest = float(x.detach().double().norm(dim=1).max())
    if weights is not None:
        lengths = weights.detach().double().norm(dim=1)
        shortest = float(lengths[lengths > 0].min()) if lengths.any() and "m" in options else 1.0
        largest *= max(1.0, float(lengths.max()), 1 / shortest)
    if "centers" in inputs.tensors:
        largest += float(inputs.tensors["centers"].double().norm(dim=1).max())
    largest = scaled_logit(inputs, options) or largest
    rounding = 4 * torch.finfo(x.dtype).eps * (1 + largest)
    if x.dtype in HALF:
        return rounding
    return rounding * max(1, options.get("m", 1)) ** 2 * x.shape[1] ** 0.5


def underflow_of(inputs: Inputs) -> float:
    """What a sum over the batch may lose of each number where its parts are below the dtype's
    normal range: half the smallest subnormal each."""
    x = inputs.tensors["embeddings"]
    limits = torch.finfo(x.dtype)
    return len(x) * limits.tiny * limits.eps / 2


def assert_close(got: Outcome, truth: Outcome, bound: float, lost: float = 0.0) -> None:
    pairs = {"value": (got.value, truth.value)}
    pairs |= {name: (got.gradients[name], truth.gradients[name]) for name in truth.gradients}
    for name, (mine, right) in pairs.items():
        assert torch.isfinite(mine).all(), name
        error = float((mine.double() - right).norm())
        allowed = bound * max(float(right.norm()), truth.upstream_norm)
        allowed += lost * right.numel() ** 0.5
        assert error <= allowed, f"{name}: error {error:.3g}, allowed {allowed:.3g}"


def check_eager(loss: Loss, variant: Variant, inputs: Inputs, seed: int) -> None:
    for reduction in REDUCTIONS:
        function = function_of(loss, variant, "eager")
        got = outcome_of(function, inputs, variant.options, reduction, seed)
        truth = truth_of(loss, variant, inputs, reduction, seed)
        bound, lost = bound_of(inputs, variant.options), underflow_of(inputs)
        assert_close(got, truth, bound, lost)


def replaced(inputs: Inputs, **changed: Tensor) -> Inputs:
    tensors = {**inputs.tensors, **{n: t.detach().clone() for n, t in changed.items()}}
    for name in inputs.differentiable:
        tensors[name] = tensors[name].detach().clone().requires_grad_()
    return Inputs(tensors, inputs.differentiable)
