"""The heads over class weights: softmax, A-Softmax and center loss, reference and eager.

Truth, in this order: plain Python loops with angles for the reference, the float64 reference for
eager. Bounds are written in roundings of the dtype, see `head_cases.bound_of`.
"""

from __future__ import annotations

import pytest
import torch
from head_cases import (
    RAGGED,
    SHAPES,
    VARIANTS,
    check_eager,
    draw,
    replaced,
)

from marginbench.loss import Inputs, Shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_eager_agrees_with_the_reference(loss, variant, shape: Shape, seed: int) -> None:
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        check_eager(loss, variant, draw(variant, shape, dtype, seed), seed)


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_zero_norms(loss, variant, seed: int) -> None:
    """Embeddings and class weights of norm 0, a target's and another class's, and all at once."""
    for dtype in ("float64", "float32", "float16"):
        inputs = draw(variant, RAGGED, dtype, seed)
        x = inputs.tensors["embeddings"].detach().clone()
        x[:3] = 0
        changed = {"embeddings": x}
        if "class_weights" in inputs.tensors:
            weights = inputs.tensors["class_weights"].detach().clone()
            weights[inputs.tensors["labels"][1]] = 0
            weights[inputs.tensors["labels"][5]] = 0
            changed["class_weights"] = weights
        check_eager(loss, variant, replaced(inputs, **changed), seed)
        check_eager(loss, variant, replaced(inputs, **{n: 0 * t for n, t in changed.items()}), seed)


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_large_norms(loss, variant, seed: int) -> None:
    for dtype in ("float64", "float32"):
        inputs = draw(variant, RAGGED, dtype, seed)
        check_eager(
            loss, variant, replaced(inputs, embeddings=1e3 * inputs.tensors["embeddings"]), seed
        )


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_layouts_give_the_same(loss, variant, seed: int) -> None:
    """Transposed and strided tensors."""
    inputs = draw(variant, RAGGED, "float64", seed)
    strided = {}
    for name, tensor in inputs.tensors.items():
        tensor = tensor.detach()
        if tensor.ndim == 2:
            tensor = tensor.T.contiguous().T
        elif tensor.ndim:
            tensor = torch.stack((tensor, tensor), dim=1)[:, 0]
        strided[name] = tensor.requires_grad_(name in inputs.differentiable)
    assert not strided["embeddings"].is_contiguous()
    check_eager(loss, variant, Inputs(strided, inputs.differentiable), seed)
