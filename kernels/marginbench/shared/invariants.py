"""Properties of the head losses that need no reference: any contender can be held to them.

Each takes the contender as ``function``, the `marginbench.loss.Inputs` of a case and the variant's
options, and raises AssertionError, saying by how much, where the property fails. Float inputs of
any dtype; inputs are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..loss import Inputs

Function = Callable[..., Tensor]

# What belongs to the classes, though there may be as many of them as samples.
_OF_CLASSES = ("class_weights", "bias", "centers")


def scaled_logit(inputs: Inputs, options: Mapping[str, Any]) -> float | None:
    """The size that the errors of a head over cosines go by: s max(1, 1 / ||x||, 1 / ||w||) for
    l = s cos theta, s its option or its tensor ``scale``; None of a head that has none.

    A cosine is at most 1 and comes with a few eps of error whatever the lengths are, so a logit
    with s eps. The loss moves by at most the largest error of a logit: s eps. By a logit its
    derivative is p - y, of which a relative error is at most the difference of two logits': 2 s
    eps. By a row that is times s (u - cos theta v) / ||row|| for directions u and v, whose error of
    an eps is divided by the length too. So s / ||row|| takes the place that ||x|| ||w|| has for
    l = x . w, and not the lengths.
    """
    scale = options.get("scale", inputs.tensors.get("scale"))
    if scale is None:
        return None
    least = 1.0
    for name in ("embeddings", "class_weights"):
        if name in inputs.tensors:
            lengths = inputs.tensors[name].detach().double().norm(dim=1)
            least = min([least, *lengths[lengths > 0].tolist()])
    return abs(float(scale.detach() if isinstance(scale, Tensor) else scale)) / least


def _run(
    function: Function,
    inputs: Inputs,
    options: Mapping[str, Any],
    changed: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The terms and each gradient of their sum, by name, of inputs partly replaced."""
    tensors: dict[str, Any] = {
        name: None if tensor is None else tensor.detach().clone()
        for name, tensor in {**inputs.tensors, **(changed or {})}.items()
    }
    leaves = [name for name in inputs.differentiable if tensors[name] is not None]
    for name in leaves:
        tensors[name].requires_grad_()
    terms = function(**tensors, **options, reduction="none")
    gradients = torch.autograd.grad(terms.sum(), [tensors[name] for name in leaves])
    named = zip(leaves, gradients, strict=True)
    return {"terms": terms.detach(), **{f"gradient of {name}": g for name, g in named}}


def _slack(inputs: Inputs, options: Mapping[str, Any]) -> float:
    """How far two right results may lie apart, relative to their norm.

    A logit carries a few roundings of eps times its size, at most ||x|| ||w||, and the terms and
    their gradients pass an error of the logits on with a factor of about one; a gradient by a
    class weight of which only the direction counts is divided by ||w||. Sixteen such roundings,
    in the dtype of the inputs. Over cosines logits go by their scale (`scaled_logit`).
    """
    x, w = inputs.tensors["embeddings"], inputs.tensors.get("class_weights")
    size = float(x.detach().double().norm(dim=1).max())
    if w is not None:
        lengths = w.detach().double().norm(dim=1)
        shortest = lengths[lengths > 0].min() if lengths.any() else torch.ones(())
        size *= max(1.0, float(lengths.max()), 1 / float(shortest))
    size = scaled_logit(inputs, options) or size
    return 16 * torch.finfo(x.dtype).eps * (1 + size)


def _agree(got: Mapping[str, Tensor], expected: Mapping[str, Tensor], slack: float) -> None:
    """Each result against its expectation, relative to the largest of them: a gradient that is
    zero by cancellation, such as that of weights in one dimension, comes out as its rounding."""
    sizes = [float(tensor.double().norm()) for tensor in expected.values()]
    allowed = slack * max(*sizes, torch.finfo(torch.float32).tiny)
    for name, tensor in expected.items():
        distance = float((got[name].double() - tensor.double()).norm())
        assert distance <= allowed, f"{name}: off by {distance:.3g}, allowed {allowed:.3g}"


def permutation(function: Function, inputs: Inputs, options: Mapping[str, Any]) -> None:
    """Samples in another order: the terms follow, the gradients of the classes stay."""
    order = torch.arange(len(inputs.tensors["labels"]), device=inputs.tensors["labels"].device)
    order = order.flip(0).roll(1)
    moved = {
        name: tensor.detach()[order]
        for name, tensor in inputs.tensors.items()
        if tensor is not None and tensor.shape[:1] == order.shape and name not in _OF_CLASSES
    }
    expected = _run(function, inputs, options)
    for name in ("terms", *(f"gradient of {name}" for name in moved)):
        if name in expected:
            expected[name] = expected[name][order]
    _agree(_run(function, inputs, options, moved), expected, _slack(inputs, options))


def bias_shift(function: Function, inputs: Inputs, options: Mapping[str, Any]) -> None:
    """The same constant added to every bias: nothing changes."""
    shifted = {"bias": inputs.tensors["bias"].detach() + 1}
    expected = _run(function, inputs, options)
    _agree(_run(function, inputs, options, shifted), expected, 2 * _slack(inputs, options))


def weight_shift(function: Function, inputs: Inputs, options: Mapping[str, Any]) -> None:
    """One vector added to every class weight moves all logits of a sample alike: nothing changes.

    Its length is at most 1, so that the moved weights are rounded like weights one longer.
    """
    weights = inputs.tensors["class_weights"].detach()
    along = torch.linspace(-1, 1, weights.shape[1], dtype=torch.float64, device=weights.device)
    moved = (weights.double() + along / weights.shape[1] ** 0.5).to(weights.dtype)
    expected = _run(function, inputs, options)
    shifted = _run(function, inputs, options, {"class_weights": moved})
    longest = float(inputs.tensors["embeddings"].detach().double().norm(dim=1).max())
    slack = _slack(inputs, options) + 16 * torch.finfo(weights.dtype).eps * longest
    _agree(shifted, expected, 2 * slack)


def weight_lengths(function: Function, inputs: Inputs, options: Mapping[str, Any]) -> None:
    """Longer and shorter class weights: the terms stay, their gradients shrink and grow.

    The factors are powers of two, so that no direction changes by rounding.
    """
    weights = inputs.tensors["class_weights"].detach()
    factors = 2.0 ** (torch.arange(len(weights), device=weights.device) % 4 - 1)[:, None]
    factors = factors.to(weights.dtype)
    expected = _run(function, inputs, options)
    scaled = _run(function, inputs, options, {"class_weights": weights * factors})
    scaled["gradient of class_weights"] = scaled["gradient of class_weights"].double() * factors
    _agree(scaled, expected, _slack(inputs, options))


def orthogonal_weight_gradient(
    function: Function, inputs: Inputs, options: Mapping[str, Any]
) -> None:
    """The gradient of each class weight has no part along it: its length does not count.

    Allowed is the rounding of the gradient before that part is taken off, which the gradients of
    the weights' other parts and of the embeddings bound; in one dimension nothing is left of
    either, and the slopes of the terms do, at most m^2 each.
    """
    weights = inputs.tensors["class_weights"].detach().double()
    lengths = weights.norm(dim=1)
    results = _run(function, inputs, options)
    across = results["gradient of class_weights"].double() * lengths[:, None]
    along = (across * weights).sum(dim=1) / lengths.where(lengths > 0, 1)
    longest = float(inputs.tensors["embeddings"].detach().double().norm(dim=1).max())
    size = float(across.norm()) + longest * float(results["gradient of embeddings"].norm())
    if weights.shape[1] == 1:
        size += longest * len(results["terms"]) * options.get("m", 1) ** 2
    largest, allowed = float(along.abs().max()), _slack(inputs, options) * size
    assert largest <= allowed, f"part along the weight: {largest:.3g}, allowed {allowed:.3g}"


def embedding_lengths(function: Function, inputs: Inputs, options: Mapping[str, Any]) -> None:
    """Longer and shorter embeddings, by powers of two: the terms stay, their gradients shrink and
    grow."""
    x = inputs.tensors["embeddings"].detach()
    factors = 2.0 ** (torch.arange(len(x), device=x.device) % 4 - 1)[:, None]
    factors = factors.to(x.dtype)
    expected = _run(function, inputs, options)
    scaled = _run(function, inputs, options, {"embeddings": x * factors})
    scaled["gradient of embeddings"] = scaled["gradient of embeddings"].double() * factors
    _agree(scaled, expected, _slack(inputs, options))


def orthogonal_embedding_gradient(
    function: Function, inputs: Inputs, options: Mapping[str, Any]
) -> None:
    """The gradient of each embedding has no part along it: its length does not count.

    Allowed is the rounding of the gradient before that part is taken off, which has at most twice
    the size that errors go by.
    """
    x = inputs.tensors["embeddings"].detach().double()
    lengths = x.norm(dim=1)
    gradient = _run(function, inputs, options)["gradient of embeddings"].double()
    along = (gradient * x).sum(dim=1) / lengths.where(lengths > 0, 1)
    allowed = 2 * _slack(inputs, options)
    largest = float(along.abs().max())
    assert largest <= allowed, f"part along the embedding: {largest:.3g}, allowed {allowed:.3g}"
