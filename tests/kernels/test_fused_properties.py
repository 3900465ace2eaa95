"""Properties of the fused losses that need no reference, over shapes, dtypes and values that
hypothesis draws: what each variant of the catalogue declares, and what unit embeddings add.

Slacks are those of the checks themselves (`marginbench.shared.invariants`, `.motions`). Runs in
Triton's interpreter where there is no GPU; the same seed draws the same examples.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies
from torch import Tensor

from marginbench import catalogue
from marginbench.inputs import random_inputs
from marginbench.loss import Inputs, Loss, Shape, Variant

CASES = [
    pytest.param(loss, variant, id=f"{loss.name}-{variant.name}")
    for loss in catalogue.losses()
    for variant in loss.variants
    if variant.output == "loss" and "triton" in {c.name for c in variant.contenders}
    # A sibling over pairs that differs by the divisor of its mean alone runs the same kernels.
    if variant.family != "batch" or variant.sweep
]
DECLARED = [
    pytest.param(*case.values, invariant.entry, id=f"{case.id}-{invariant.entry.split(':')[1]}")
    for case in CASES
    for invariant in case.values[1].invariants
]
ONE_TO_TWENTY = strategies.integers(1, 20)
SHAPES = strategies.builds(Shape, ONE_TO_TWENTY, ONE_TO_TWENTY, ONE_TO_TWENTY)
DTYPES = strategies.sampled_from(("float32", "bfloat16", "float16"))
EPS = torch.finfo(torch.float32).eps
Check = Callable[[Callable[..., Any], Inputs, Mapping[str, Any]], None]


def _for_all(loss: Loss, variant: Variant, check: Check, device: str, seed: int, change=None):
    """Hold the Triton contender, or what ``change`` makes of it, to ``check`` on drawn inputs.

    Losses over a batch's pairs take a program a sample, which the interpreter runs in turn. A
    head's other variants differ in the margin alone.
    """
    few = 3 if variant.family == "batch" else 5 if variant is loss.variants[0] else 2
    function = loss.resolve(variant.contender("triton").entry)
    if change:
        function = functools.partial(change, function)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=20 if change else few,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate],  # a smaller example is not worth the interpreter's time
    )
    @hypothesis.given(shape=SHAPES, dtype=DTYPES, draw=strategies.integers(0, 2**20))
    def holds(shape: Shape, dtype: str, draw: int) -> None:
        if variant.unit_embeddings and shape.dim == 1:
            # The unit sphere of one dimension is two points: which of equals is taken is a rule of
            # order, not a property.
            shape = dataclasses.replace(shape, dim=2)
        check(function, _decided(loss, variant, shape, dtype, device, draw), variant.options)

    holds()


def _decided(loss: Loss, variant: Variant, shape: Shape, dtype: str, device: str, seed: int):
    """Inputs on which rounding decides nothing, drawn until they are such."""
    for attempt in range(200):
        inputs = random_inputs(variant, shape, dtype, device, seed + 10_007 * attempt)
        if variant.family == "head" or _is_decided(loss, variant, inputs):
            return inputs
    raise AssertionError(f"no decided inputs for {variant.name} {shape} {dtype}")


def _is_decided(loss: Loss, variant: Variant, inputs: Inputs) -> bool:
    """No two distances of an anchor, and no hinge and 0, are near enough to change places, no
    direction is that of a tiny difference, and the terms are not so small that the rounding of
    the distances, which are about 1, shows: a check's slack is relative to the terms."""
    exact = {k: t.double() if t.is_floating_point() else t for k, t in inputs.tensors.items()}
    reference = loss.resolve(variant.contender("reference").entry)
    size = float(reference(**exact, **variant.options, reduction="none").detach().norm())
    if 0 < size < 0.05:
        return False
    if variant.family == "rows":
        return True
    x_BD = exact["embeddings"].detach()
    d_BB = (x_BD[:, None] - x_BD).square().sum(2)
    if x_BD.shape[1] == 1:  # on the line, 1 and -1: moved exactly
        return True
    others_BB = ~torch.eye(len(x_BD), dtype=torch.bool, device=x_BD.device)
    apart_BBB = d_BB[:, :, None] - d_BB[:, None]
    near = 32 * EPS
    ties = (apart_BBB.abs() < near) & others_BB
    kinks = (apart_BBB.abs() - variant.options["margin"]).abs() < near
    return not (ties.any() or kinks.any() or (d_BB[others_BB] < 1e-6).any())


@pytest.mark.parametrize(("loss", "variant", "entry"), DECLARED)
def test_declared_properties_hold(loss, variant, entry, device: str, seed: int) -> None:
    _for_all(loss, variant, loss.resolve(entry), device, seed)


def _no_pull_along(function: Callable[..., Tensor], inputs: Inputs, options) -> None:
    """Of raw embeddings that are put on the unit sphere only the direction counts: the gradient
    has no part along them, up to the roundings of a scalar product over D."""
    name = inputs.differentiable[0]
    raw_BD = inputs.tensors[name].detach().float()
    raw_BD = (raw_BD * torch.linspace(0.5, 2, len(raw_BD), device=raw_BD.device)[:, None]).clone()
    unit_BD = torch.nn.functional.normalize(raw_BD.requires_grad_(), dim=1)
    others = {
        k: t.detach().float() if t.is_floating_point() else t
        for k, t in inputs.tensors.items()
        if k != name
    }
    terms_B = function(**{name: unit_BD}, **others, **options, reduction="none")
    before_BD, after_BD = torch.autograd.grad(terms_B.sum(), [unit_BD, raw_BD])
    along_B = (after_BD.double() * raw_BD.detach().double()).sum(1).abs()
    allowed_B = (raw_BD.shape[1] + 8) * EPS * before_BD.double().norm(dim=1)
    worst = float((along_B - allowed_B).max())
    assert worst <= 0, f"part along the embedding: {worst:.3g} above what is allowed"


@pytest.mark.parametrize(("loss", "variant"), CASES)
def test_the_gradient_of_a_direction_is_orthogonal_to_it(loss, variant, device, seed) -> None:
    _for_all(loss, variant, _no_pull_along, device, seed)


def _counts_the_place(function, **arguments) -> Tensor:
    terms_B = function(**arguments)
    return terms_B * torch.arange(1, len(terms_B) + 1, device=terms_B.device)


def _counts(name: str, power: int) -> Callable[..., Tensor]:
    """Adds a little of what must not count: a first coordinate, a length, a bias."""

    def changed(function, **arguments) -> Tensor:
        tensor = arguments[name].float()
        first = tensor if tensor.ndim == 1 else tensor[:, 0]
        return function(**arguments) + 0.1 * first.pow(power).sum()

    return changed


def _pulls_along(function, *, embeddings: Tensor, **arguments) -> Tensor:
    """Right terms, whose gradient goes round the normalisation."""
    terms_B = function(embeddings=embeddings, **arguments)
    raw_BD = embeddings.grad_fn.next_functions[0][0]
    while not hasattr(raw_BD, "variable"):
        raw_BD = raw_BD.next_functions[0][0]
    return terms_B + 0.1 * raw_BD.variable.sum()


@pytest.mark.parametrize(
    ("loss", "variant", "entry", "broken"),
    [
        ("a-softmax", "m1", ".shared.invariants:permutation", _counts_the_place),
        ("a-softmax", "m1", ".shared.invariants:weight_lengths", _counts("class_weights", 2)),
        (
            "a-softmax",
            "m1",
            ".shared.invariants:orthogonal_weight_gradient",
            _counts("class_weights", 2),
        ),
        ("softmax", "linear", ".shared.invariants:bias_shift", _counts("bias", 2)),
        ("softmax", "linear", ".shared.invariants:weight_shift", _counts("class_weights", 2)),
        ("contrastive", "all-pairs", ".shared.motions:permutation", _counts_the_place),
        ("triplet", "batch-hard", ".shared.motions:rotation", _counts("embeddings", 1)),
        ("triplet", "batch-hard", ".shared.motions:translation", _counts("embeddings", 2)),
        ("softmax", "linear", "", _pulls_along),
    ],
)
def test_properties_can_fail(loss, variant, entry, broken, device: str, seed: int) -> None:
    declared = catalogue.get(loss)
    check = declared.resolve(entry) if entry else _no_pull_along
    with pytest.raises(AssertionError, match=r"allowed|above"):
        _for_all(declared, declared.variant(variant), check, device, seed, broken)


def test_a_seed_draws_the_same_examples_again(device: str, seed: int) -> None:
    declared = catalogue.get("softmax")
    seen: list[list[Tensor]] = [[], []]
    for inputs in seen:
        _for_all(
            declared,
            declared.variants[0],
            lambda _, drawn, __, inputs=inputs: inputs.append(drawn.tensors["embeddings"]),
            device,
            seed,
        )
    assert len(seen[0]) > 1
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
