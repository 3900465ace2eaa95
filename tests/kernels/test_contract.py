"""What every loss folder owes, whatever it is called: run over all that the catalogue finds."""

from __future__ import annotations

import dataclasses
import inspect
import math

import pytest
import torch

from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.fields import FAMILIES, sized
from marginbench.inputs import Batch, arguments_of, inputs_from, random_batch, random_inputs
from marginbench.loss import Loss, Shape, Variant
from marginbench.shared.invariants import scaled_logit

VARIANTS = [(loss, variant) for loss in catalogue.losses() for variant in loss.variants]
DIFFERENTIABLE = [(loss, variant) for loss, variant in VARIANTS if variant.output == "loss"]
RAGGED = {"head": Shape(7, 5, 11), "batch": Shape(11, 5, 3), "rows": Shape(7, 5, 3)}
USUAL = ("reference", "eager", "compiled", "triton")
FLOAT32_EPS = torch.finfo(torch.float32).eps


def _name(value: object) -> str:
    return getattr(value, "name", str(value))


every_variant = pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids=_name)
every_loss_value = pytest.mark.parametrize(("loss", "variant"), DIFFERENTIABLE, ids=_name)


def callables(loss: Loss, variant: Variant):
    """Every contender of our own that runs here: compiled ones are eager's code again."""
    for contender in variant.contenders:
        ours = not any(need.startswith("package:") for need in contender.needs)
        if ours and not contender.compiled:
            yield contender.name, loss.resolve(contender.entry)


def gradients(function, variant: Variant, batch: Batch, reduction: str = "sum"):
    inputs = inputs_from(variant, batch, "float32", "cpu")
    value = function(**inputs.tensors, **variant.options, reduction=reduction)
    leaves = [inputs.tensors[name] for name in inputs.differentiable]
    grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    return value, dict(zip(inputs.differentiable, grads, strict=True))


def test_no_folder_fails_to_import():
    assert catalogue.failures() == ()
    assert catalogue.names()


@every_variant
def test_declaration_is_complete(loss: Loss, variant: Variant):
    assert loss.title and loss.source and loss.package
    assert variant.summary and variant.equation and variant.source
    assert variant.family in FAMILIES
    assert variant.output in {"loss", "tensor", "indices"}
    names = [contender.name for contender in variant.contenders]
    assert len(names) == len(set(names))
    for usual in USUAL:
        assert usual in names or variant.excused.get(usual), f"{usual} is neither there nor excused"
    shape = sized(variant, RAGGED[variant.family])
    cost = variant.cost(shape, 4)
    larger = variant.cost(dataclasses.replace(shape, batch=2 * shape.batch), 4)
    for field in dataclasses.fields(cost):
        assert 0 <= getattr(cost, field.name) <= getattr(larger, field.name)
    assert variant.reference_elements(shape) > 0


@every_variant
def test_every_entry_takes_the_declared_arguments(loss: Loss, variant: Variant):
    batch = random_batch(RAGGED[variant.family], 0)
    arguments = arguments_of(variant, batch) | dict(variant.options)
    if variant.output == "loss":
        arguments["reduction"] = "mean"
        assert set(variant.differentiable) <= set(arguments)
    for contender in variant.contenders:
        if not any(need.startswith("package:") for need in contender.needs):
            function = loss.resolve(contender.entry)
            inspect.signature(function).bind(**arguments)
            assert function.__doc__, f"{contender.entry} has no docstring"


@every_variant
def test_inputs_repeat_with_their_seed(loss: Loss, variant: Variant, seed: int):
    shape = RAGGED[variant.family]
    first, again, other = (
        random_inputs(variant, shape, "float32", "cpu", s).tensors for s in (seed, seed, seed + 1)
    )
    assert all(torch.equal(first[k], again[k]) for k in first if first[k] is not None)
    assert any(not torch.equal(first[k], other[k]) for k in first if first[k] is not None)


def _edges(shape: Shape, seed: int) -> dict[str, Batch]:
    """Batches at the edge of each definition, all finite and of ordinary size."""
    batch = random_batch(shape, seed)
    same = batch.embeddings[:1].expand_as(batch.embeddings)
    sign = torch.tensor([1.0, -1.0]).repeat(shape.batch)[: shape.batch, None]
    zero = torch.zeros_like(batch.embeddings)
    return {
        "zero norm": dataclasses.replace(
            batch,
            embeddings=zero,
            second=zero,
            third=zero,
            class_weights=torch.zeros_like(batch.class_weights),
        ),
        "duplicates": dataclasses.replace(batch, embeddings=same, second=same, third=same),
        "cosine +-1": dataclasses.replace(
            batch, embeddings=sign * batch.class_weights[batch.labels]
        ),
        "one class": random_batch(Shape(shape.batch, shape.dim, 1), seed),
        "no positive": random_batch(Shape(shape.batch, shape.dim, shape.batch), seed),
        "one row": random_batch(Shape(1, shape.dim, 1), seed),
    }


@every_loss_value
@pytest.mark.parametrize(
    "edge", ["zero norm", "duplicates", "cosine +-1", "one class", "no positive", "one row"]
)
def test_finite_at_the_edges(loss: Loss, variant: Variant, edge: str, seed: int):
    batch = _edges(RAGGED[variant.family], seed)[edge]
    for name, function in callables(loss, variant):
        for reduction in variant.reductions:
            value, grads = gradients(function, variant, batch, reduction)
            assert torch.isfinite(value).all(), f"{name} {reduction}"
            for of, grad in grads.items():
                assert grad is not None and torch.isfinite(grad).all(), f"{name} {reduction} {of}"


@every_loss_value
def test_agrees_with_its_reference(loss: Loss, variant: Variant, seed: int):
    """Bound: an ordinary float32 evaluation loses a few tens of eps; the precise multiple of
    eager's own error is judged by each loss's tests and by the agreement suite. Over cosines each
    has the size of the scale (`scaled_logit`)."""
    batch = random_batch(RAGGED[variant.family], seed, unit=variant.unit_embeddings)
    wanted, wanted_grads = gradients(
        loss.resolve(variant.contender("reference").entry), variant, batch
    )
    for name, function in callables(loss, variant):
        value, grads = gradients(function, variant, batch)
        logit = scaled_logit(inputs_from(variant, batch, "float32", "cpu"), variant.options)
        bound = max(64.0, 8 * (logit or 0.0)) * FLOAT32_EPS
        scale = max(1.0, float(wanted.abs()))
        assert math.isclose(float(value), float(wanted), abs_tol=bound * scale), name
        for of, want in wanted_grads.items():
            error = (grads[of].double() - want).norm() / want.norm().clamp(min=1e-30)
            assert error < bound or torch.equal(grads[of].double(), want.double()), f"{name} {of}"


@every_loss_value
def test_reductions_are_consistent(loss: Loss, variant: Variant, seed: int):
    batch = random_batch(RAGGED[variant.family], seed, unit=variant.unit_embeddings)
    for name, function in callables(loss, variant):
        terms, _ = gradients(function, variant, batch, "none")
        total, _ = gradients(function, variant, batch, "sum")
        mean, _ = gradients(function, variant, batch, "mean")
        assert terms.shape == (RAGGED[variant.family].batch,), name
        assert total.shape == () and mean.shape == (), name
        assert math.isclose(float(terms.sum()), float(total), rel_tol=1e-5, abs_tol=1e-6), name


@every_variant
def test_inputs_are_left_alone(loss: Loss, variant: Variant, seed: int):
    for name, function in callables(loss, variant):
        inputs = random_inputs(variant, RAGGED[variant.family], "float32", "cpu", seed)
        before = {k: t.detach().clone() for k, t in inputs.tensors.items() if t is not None}
        extra = {"reduction": "sum"} if variant.output == "loss" else {}
        value = function(**inputs.tensors, **variant.options, **extra)
        if variant.output == "loss":
            value.backward()
        for key, old in before.items():
            assert torch.equal(old, inputs.tensors[key]), f"{name} changed {key}"


@every_variant
def test_invariants_hold_for_every_contender(loss: Loss, variant: Variant, seed: int):
    for invariant in variant.invariants:
        for name, function in callables(loss, variant):
            inputs = random_inputs(variant, RAGGED[variant.family], "float32", "cpu", seed)
            try:
                loss.resolve(invariant.entry)(function, inputs, dict(variant.options))
            except AssertionError as error:
                raise AssertionError(f"{name}: {invariant.name}: {error}") from error


def _spoil_labels(value):
    def spoil(tensors):
        labels = tensors["labels"].clone()
        labels[0] = value
        return {"labels": labels}

    return spoil


def _first_float(tensors):
    return next(k for k, t in tensors.items() if t is not None and t.is_floating_point())


def _nan(tensors):
    name = _first_float(tensors)
    bad = tensors[name].detach().clone()
    bad[0, 0] = float("nan")
    return {name: bad}


def _flat(tensors):
    name = _first_float(tensors)
    return {name: tensors[name].detach().flatten()}


def _integers(tensors):
    name = _first_float(tensors)
    return {name: tensors[name].detach().long()}


BAD = {
    "label -1": ("labels", _spoil_labels(-1)),
    "labels int32": ("labels", lambda t: {"labels": t["labels"].int()}),
    "labels too few": ("labels", lambda t: {"labels": t["labels"][:-1]}),
    "NaN": (None, _nan),
    "not a matrix": (None, _flat),
    "integers": (None, _integers),
    "empty batch": (None, lambda t: {k: v[:0] for k, v in t.items() if v is not None and v.ndim}),
}


@every_variant
@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_named(loss: Loss, variant: Variant, bad: str, seed: int):
    argument, spoil = BAD[bad]
    for name, function in callables(loss, variant):
        if name == "reference":
            continue
        inputs = random_inputs(variant, RAGGED[variant.family], "float32", "cpu", seed)
        tensors = dict(inputs.tensors)
        if argument is not None and argument not in tensors:
            pytest.skip(f"takes no {argument}")
        spoilt = spoil(tensors)
        with pytest.raises(InputError) as caught:
            function(**(tensors | spoilt), **variant.options)
        named = str(caught.value).split(":")[0]
        assert named in ({argument} if argument else set(spoilt)), f"{name}: {caught.value}"
        assert "expected" in str(caught.value) and "got" in str(caught.value), name


@every_loss_value
def test_unknown_reduction_is_named(loss: Loss, variant: Variant, seed: int):
    for name, function in callables(loss, variant):
        inputs = random_inputs(variant, RAGGED[variant.family], "float32", "cpu", seed)
        with pytest.raises(InputError, match="reduction: expected one of none, sum, mean"):
            function(**inputs.tensors, **variant.options, reduction="median")
        assert name


@pytest.mark.parametrize(
    ("loss", "variant", "forward", "backward"),
    [
        ("softmax", "linear", 2 * 64 * 96 * 32, 4 * 64 * 96 * 32),
        ("contrastive", "pairs", 3 * 64 * 32, 3 * 64 * 32),
        ("contrastive", "all-pairs", 64 * 63 * 32, 2 * 64 * 64 * 32),
        ("triplet", "batch-all", 64 * 63 * 32, 2 * 64 * 64 * 32),
        ("triplet", "batch-hard", 64 * 63 * 32, 6 * 64 * 32),
        ("center", "term", 3 * 64 * 32, 2 * 64 * 32),
        # 64 sums, and at most 64 of the 96 centers to move.
        ("center", "update", 64 * 32 + 3 * 64 * 32, 0),
    ],
)
def test_the_least_operations_hold_no_product_made_again(
    loss: str, variant: str, forward: int, backward: int
):
    cost = catalogue.get(loss).variant(variant).cost(Shape(64, 32, 96), 4)
    assert (cost.forward_flops, cost.backward_flops) == (forward, backward)
