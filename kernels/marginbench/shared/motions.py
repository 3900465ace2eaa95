"""Invariance of losses over distances under rotation, translation and permutation of embeddings.

Each check calls ``function`` on inputs and on moved inputs, and raises AssertionError where value
or gradient differ by more than rounding explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..loss import Inputs
from .reduction import wide as wider

_Move = Callable[[str, Tensor], Tensor]


def rotation(function: Callable[..., Any], inputs: Inputs, options: Mapping[str, Any]) -> None:
    """A rotation of all embeddings leaves the terms alone and rotates the gradients."""
    like = inputs.tensors[inputs.differentiable[0]]
    generator = torch.Generator().manual_seed(0)
    square_DD = torch.randn(like.shape[1], like.shape[1], generator=generator, dtype=torch.float64)
    rotation_DD = torch.linalg.qr(square_DD).Q.to(like.device)

    def rotate(_: str, x_BD: Tensor) -> Tensor:
        return (x_BD.double() @ rotation_DD).to(x_BD.dtype)

    _compare(function, inputs, options, rotate, rotate)


def translation(function: Callable[..., Any], inputs: Inputs, options: Mapping[str, Any]) -> None:
    """Moving all embeddings by one vector leaves the terms and the gradients alone."""
    like = inputs.tensors[inputs.differentiable[0]]
    offset_D = torch.linspace(-0.5, 0.5, like.shape[1], dtype=torch.float64, device=like.device)

    def move(_: str, x_BD: Tensor) -> Tensor:
        return (x_BD.double() + offset_D).to(x_BD.dtype)

    _compare(function, inputs, options, move, lambda _, gradient: gradient)


def permutation(function: Callable[..., Any], inputs: Inputs, options: Mapping[str, Any]) -> None:
    """Another order of the rows gives the same terms and gradients in that order."""
    rows = len(inputs.tensors[inputs.differentiable[0]])
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(rows, generator=generator)

    def permute(_: str, tensor: Tensor) -> Tensor:
        return tensor[order.to(tensor.device)]

    _compare(function, inputs, options, permute, permute, permute)


def _compare(
    function: Callable[..., Any],
    inputs: Inputs,
    options: Mapping[str, Any],
    move: _Move,
    move_gradient: _Move,
    permute: _Move | None = None,
) -> None:
    """``move`` is applied to the differentiable tensors, ``permute`` to all of them and the terms.

    16-bit inputs are widened first: rounding them anew after a move would drown the property.
    """
    wide = {
        name: wider(tensor.detach()) if tensor.is_floating_point() else tensor
        for name, tensor in inputs.tensors.items()
    }
    moved = {
        name: (permute or move)(name, tensor)
        if permute or name in inputs.differentiable
        else tensor
        for name, tensor in wide.items()
    }
    terms_B, gradients = _evaluate(function, wide, inputs.differentiable, options)
    moved_terms_B, moved_gradients = _evaluate(function, moved, inputs.differentiable, options)
    if permute:
        terms_B = permute("terms", terms_B)
    eps = torch.finfo(wide[inputs.differentiable[0]].dtype).eps
    _assert_near("terms", moved_terms_B, terms_B, eps)
    for name, gradient in gradients.items():
        _assert_near(name, moved_gradients[name], move_gradient(name, gradient), eps)


def _evaluate(
    function: Callable[..., Any],
    tensors: Mapping[str, Tensor],
    differentiable: tuple[str, ...],
    options: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    leaves = {name: tensor.clone() for name, tensor in tensors.items()}
    for name in differentiable:
        leaves[name].requires_grad_()
    terms_B = function(**leaves, **options, reduction="none")
    gradients = torch.autograd.grad(terms_B.sum(), [leaves[name] for name in differentiable])
    return terms_B.detach(), dict(zip(differentiable, gradients, strict=True))


def _assert_near(name: str, moved: Tensor, expected: Tensor, eps: float) -> None:
    # Moving rounds each entry by eps/2 of the vectors' length, which is about 1; a hinge of
    # squared distances sees it doubled and summed over D, a count of hinges steps by one in
    # thousands. A thousand eps holds both and is far below what a wrong formula does.
    bound = 1000 * eps
    error = float((moved.double() - expected.double()).norm())
    scale = max(float(expected.double().norm()), 1e-3)
    assert error <= bound * scale, f"{name}: relative change {error / scale:.1e} above {bound:.1e}"
