"""The heads' fused contenders held against eager and the float64 reference, for their tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from head_cases import HEADS
from torch import Tensor

from marginbench.inputs import random_inputs
from marginbench.loss import REDUCTIONS, Inputs, Shape
from marginbench.shared import linear_lse, linear_lse_gradients
from marginbench.shared.invariants import scaled_logit
from marginbench.shared.linear_lse_tiles import Backward, StreamTile

VARIANTS = {
    f"{loss.name}/{variant.name}": (loss, variant)
    for loss in HEADS
    for variant in loss.variants
    if variant.output == "loss" and "triton" in {one.name for one in variant.contenders}
}
# Each path through the shared kernels once; the other variants differ from one of these by the
# margin alone, or add two.
REPRESENTATIVES = ("softmax/linear", "a-softmax/m4", "center/term")
DTYPES = ("float32", "bfloat16", "float16")
# With tiles of 16: a tile less one, a tile, and one more; primes over several tiles.
SMALL_TILES = (Shape(15, 17, 16), Shape(17, 16, 31), Shape(37, 19, 41))
# With the default tiles: one of everything, below a tile, one and its neighbours.
OWN_TILES = (Shape(1, 1, 1), Shape(5, 3, 1), Shape(37, 19, 23), Shape(3, 129, 129),
             Shape(65, 32, 127))  # fmt: skip
RAGGED = Shape(37, 19, 101)


def own_tiles(name: str) -> tuple[Shape, ...]:
    """All of them for the first variant of a loss; others have its kernels with another margin."""
    loss, variant = VARIANTS[name]
    return OWN_TILES if variant is loss.variants[0] else OWN_TILES[:3]


def changed(inputs: Inputs, **others: Tensor) -> Inputs:
    """The inputs with some tensors in place of others, differentiable ones as leaves."""
    tensors = {}
    for name, tensor in {**inputs.tensors, **others}.items():
        tensor = tensor.detach()
        tensors[name] = tensor.requires_grad_() if name in inputs.differentiable else tensor
    return Inputs(tensors, inputs.differentiable)


def draw(name: str, shape: Shape, dtype: str, device: str, seed: int) -> Inputs:
    return random_inputs(VARIANTS[name][1], shape, dtype, device, seed)


def outcome(name: str, contender: str, inputs: Inputs, reduction: str, seed: int):
    """The value, and the gradients by name, under an upstream gradient that differs by term."""
    loss, variant = VARIANTS[name]
    function = loss.resolve(variant.contender(contender).entry)
    value = function(**inputs.tensors, **variant.options, reduction=reduction)
    generator = torch.Generator().manual_seed(seed)
    upstream = torch.randn(value.shape, generator=generator, dtype=torch.float64) + 0.5
    leaves = [inputs.tensors[of] for of in inputs.differentiable]
    grads = torch.autograd.grad(value, leaves, upstream.to(value))
    named = dict(zip(inputs.differentiable, grads, strict=True))
    return {"value": value.detach(), **named}, upstream


def right(name: str, inputs: Inputs, reduction: str, seed: int):
    """The reference's outcome on the same numbers in float64."""
    wide = {k: t.double() if t.is_floating_point() else t for k, t in inputs.tensors.items()}
    return outcome(name, "reference", changed(inputs, **wide), reduction, seed)


def floor(of: str, inputs: Inputs, options: Mapping[str, Any]) -> float:
    """Roundings that no order of the sums avoids, as a multiple of the larger of the result and
    what flows in from above.

    Sums are made in float32 (float64 for float64) from logits of size up to
    L = max ||x|| max(1, ||w||) (or terms of that size squared), over cosines as their scale says
    (`invariants.scaled_logit`), each rounded about four times on its way. A gradient in a half
    dtype has two roundings to it: the coefficient's and its own.
    """
    x, weights = inputs.tensors["embeddings"], inputs.tensors.get("class_weights")
    largest = float(x.detach().double().norm(dim=1).max())
    if weights is not None:
        largest *= max(1.0, float(weights.detach().double().norm(dim=1).max()))
    largest = scaled_logit(inputs, options) or largest
    accumulated = 4 * torch.finfo(_sums(x)).eps * (1 + largest)
    stored = torch.finfo(x.dtype).eps if x.dtype.itemsize == 2 and of != "value" else 0.0
    return accumulated + stored


def _sums(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def assert_agrees(
    name: str, inputs: Inputs, seed: int, reductions=REDUCTIONS, contender: str = "triton"
) -> None:
    """The contender is at most twice as wrong as eager, for the value and every gradient."""
    options = VARIANTS[name][1].options
    for reduction in reductions:
        got, upstream = outcome(name, contender, inputs, reduction, seed)
        eager, _ = outcome(name, "eager", inputs, reduction, seed)
        truth, _ = right(name, inputs, reduction, seed)
        batch = len(inputs.tensors["labels"])
        above = (
            float(upstream.norm())
            * {"none": 1.0, "sum": batch**0.5, "mean": batch**-0.5}[reduction]
        )
        for of, exact in truth.items():
            wanted = _sums(inputs.tensors["embeddings"])
            assert got[of].dtype == (wanted if of == "value" else inputs.tensors[of].dtype)
            assert got[of].shape == exact.shape
            mine, theirs = (float((o[of].double() - exact).norm()) for o in (got, eager))
            allowed = 2 * theirs + floor(of, inputs, options) * max(float(exact.norm()), above)
            assert mine <= allowed, f"{reduction} {of}: {mine:.3g}, eager {theirs:.3g}"


def use_small_tiles(monkeypatch: pytest.MonkeyPatch, *, descriptors: bool = False) -> None:
    """Tiles of 16 and ranges of 32 classes: small shapes then have many of each, and splits."""
    tile = StreamTile(16, 16, 16, warps=4, stages=2, descriptors=descriptors)
    monkeypatch.setattr(linear_lse, "streams", lambda *_: [tile])
    monkeypatch.setattr(linear_lse_gradients, "backwards", lambda *_: [Backward(tile, tile, tile)])
    monkeypatch.setattr(linear_lse_gradients, "range_of_classes", lambda *_: 32)
