"""Properties of the heads that need no reference, and a peer that computes the same."""

from __future__ import annotations

import pytest
import torch
from head_cases import (
    RAGGED,
    VARIANTS,
    draw,
    function_of,
)

from marginbench import catalogue
from marginbench.loss import Shape
from marginbench.softmax import eager as softmax_eager


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_declared_properties_hold(loss, variant, seed: int) -> None:
    for invariant in variant.invariants:
        check = loss.resolve(invariant.entry)
        for dtype in ("float64", "float32", "bfloat16"):
            for shape in (RAGGED, Shape(5, 1, 3), Shape(1, 1, 1)):
                inputs = draw(variant, shape, dtype, seed)
                check(function_of(loss, variant, "eager"), inputs, variant.options)


def _forgets_to_normalise(embeddings, labels, class_weights, *, m, annealing, reduction):
    return softmax_eager.softmax(embeddings, labels, class_weights, reduction=reduction)


def _counts_the_place(embeddings, labels, class_weights, *, m, annealing, reduction):
    terms = softmax_eager.softmax(embeddings, labels, class_weights, reduction="none")
    return terms * torch.arange(1, len(labels) + 1)


def _regularises_the_bias(embeddings, labels, class_weights, bias, *, reduction):
    terms = softmax_eager.softmax(embeddings, labels, class_weights, bias, reduction="none")
    return terms + 1e-3 * bias.square().sum()


@pytest.mark.parametrize(
    ("loss", "variant", "check", "broken"),
    (
        ("a-softmax", "m1", "weight_lengths", _forgets_to_normalise),
        ("a-softmax", "m1", "orthogonal_weight_gradient", _forgets_to_normalise),
        ("a-softmax", "m1", "permutation", _counts_the_place),
        ("softmax", "linear", "bias_shift", _regularises_the_bias),
    ),
)
def test_properties_can_fail(loss, variant, check, broken, seed: int) -> None:
    declared = catalogue.get(loss)
    inputs = draw(declared.variant(variant), RAGGED, "float32", seed)
    holds = declared.resolve(f".shared.invariants:{check}")
    with pytest.raises(AssertionError, match="allowed"):
        holds(broken, inputs, declared.variant(variant).options)
