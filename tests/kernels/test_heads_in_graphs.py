"""The heads inside autograd: repeated, partial, checked by differences, cast and traced."""

from __future__ import annotations

import pytest
import torch
from derivatives import skip_surrogate
from head_cases import (
    RAGGED,
    VARIANTS,
    assert_close,
    bound_of,
    draw,
    function_of,
    outcome_of,
    truth_of,
    upstream_for,
)
from torch import Tensor

from marginbench.loss import Inputs, Shape


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_graphs_and_inputs_stay_whole(loss, variant, seed: int) -> None:
    """A second backward, the loss twice in one graph, no_grad; the inputs' bits afterwards."""
    function = function_of(loss, variant, "eager")
    inputs = draw(variant, RAGGED, "float32", seed)
    before = {name: tensor.detach().clone() for name, tensor in inputs.tensors.items()}
    leaves = [inputs.tensors[name] for name in inputs.differentiable]
    upstream = upstream_for(inputs, "none", seed).float()

    terms = function(**inputs.tensors, **variant.options, reduction="none")
    first = torch.autograd.grad(terms, leaves, upstream, retain_graph=True)
    second = torch.autograd.grad(terms, leaves, upstream)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    both = function(**inputs.tensors, **variant.options, reduction="none")
    both = both + function(**inputs.tensors, **variant.options, reduction="none")
    doubled = torch.autograd.grad(both, leaves, upstream)
    for a, b in zip(doubled, first, strict=True):
        torch.testing.assert_close(a, 2 * b)

    with torch.no_grad():
        silent = function(**inputs.tensors, **variant.options, reduction="none")
    assert not silent.requires_grad
    assert torch.equal(silent, terms)
    for name, tensor in inputs.tensors.items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_gradients_only_where_asked(loss, variant, seed: int) -> None:
    function = function_of(loss, variant, "eager")
    inputs = draw(variant, RAGGED, "float32", seed)
    full = outcome_of(function, inputs, variant.options, "sum", seed).gradients
    for name in inputs.differentiable:
        tensors = {n: t.detach().requires_grad_(n == name) for n, t in inputs.tensors.items()}
        alone = outcome_of(function, Inputs(tensors, (name,)), variant.options, "sum", seed)
        torch.testing.assert_close(alone.gradients[name], full[name])


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_dtypes_out(loss, variant, seed: int) -> None:
    function = function_of(loss, variant, "eager")
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        inputs = draw(variant, Shape(5, 3, 4), dtype, seed)
        got = outcome_of(function, inputs, variant.options, "mean", seed)
        assert got.value.dtype == (torch.float64 if dtype == "float64" else torch.float32)
        assert {g.dtype for g in got.gradients.values()} == {getattr(torch, dtype)}


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_gradcheck(loss, variant, seed: int) -> None:
    """Against finite differences, which know nothing of the reference."""
    skip_surrogate(variant)
    inputs = draw(variant, Shape(5, 4, 3), "float64", seed)
    names = inputs.differentiable
    function = function_of(loss, variant, "eager")

    def terms(*leaves: Tensor) -> Tensor:
        tensors = {**inputs.tensors, **dict(zip(names, leaves, strict=True))}
        return function(**tensors, **variant.options, reduction="none")

    assert torch.autograd.gradcheck(terms, [inputs.tensors[name] for name in names])


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_autocast(loss, variant, seed: int) -> None:
    """The products may run in bfloat16; the rest, and the result, stay in float32."""
    inputs = draw(variant, RAGGED, "float32", seed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = outcome_of(function_of(loss, variant, "eager"), inputs, variant.options, "none", seed)
    truth = truth_of(loss, variant, inputs, "none", seed)
    assert got.value.dtype == torch.float32
    # The bound for bfloat16 inputs, and twice more for rounding the inputs themselves.
    rounded = draw(variant, RAGGED, "bfloat16", seed)
    assert_close(got, truth, 3 * bound_of(rounded, variant.options))


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_traces_as_one_graph(loss, variant, seed: int) -> None:
    """torch.compile without its code generation: no graph break, the same numbers."""
    torch._dynamo.reset()
    compiled = torch.compile(
        function_of(loss, variant, "eager"), fullgraph=True, backend="aot_eager"
    )
    inputs = draw(variant, RAGGED, "float32", seed)
    got = outcome_of(compiled, inputs, variant.options, "none", seed)
    assert_close(
        got, truth_of(loss, variant, inputs, "none", seed), bound_of(inputs, variant.options)
    )
