"""A gradient is the derivative of the value, or declared not to be: never one without the other."""

from __future__ import annotations

import functools

import derivatives
import pytest
import test_contract
from planted_heads import exact, of_cosines, planted

from marginbench import catalogue
from marginbench.loss import Loss, Variant

VARIANTS = [
    (loss, variant)
    for loss in catalogue.losses()
    for variant in loss.variants
    if variant.output == "loss"
]
CONSTANT = "the margin counts as a constant"
DERIVED = exact(functools.partial(of_cosines, margin=lambda c: c - 0.3 * c.square()))
DETACHED = exact(functools.partial(of_cosines, margin=lambda c: c - (0.3 * c.square()).detach()))


def _name(value: object) -> str:
    return getattr(value, "name", str(value))


@pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids=_name)
def test_the_gradient_is_the_derivative_or_declared_not_to_be(
    loss: Loss, variant: Variant, seed: int
):
    assert list(derivatives.faults(loss, variant, seed)) == []


def test_a_detached_margin_has_to_be_declared(seed: int):
    (said,) = derivatives.faults(*planted(DETACHED), seed)
    assert "off the derivative of its value" in said
    assert list(derivatives.faults(*planted(DETACHED, surrogate_gradient=CONSTANT), seed)) == []


def test_a_gradient_that_is_the_derivative_is_not_declared_otherwise(seed: int):
    assert list(derivatives.faults(*planted(DERIVED), seed)) == []
    (said,) = derivatives.faults(*planted(DERIVED, surrogate_gradient=CONSTANT), seed)
    assert "expected none, for its gradient is the derivative" in said


def test_every_implementation_owes_the_gradient_of_the_reference(seed: int):
    right = planted(DETACHED, surrogate_gradient=CONSTANT)
    test_contract.test_agrees_with_its_reference(*right, seed)
    wrong = planted(DETACHED, DERIVED, surrogate_gradient=CONSTANT)
    with pytest.raises(AssertionError, match="eager embeddings"):
        test_contract.test_agrees_with_its_reference(*wrong, seed)


def test_finite_differences_are_asked_of_every_other_variant():
    derivatives.skip_surrogate(planted(DERIVED)[1])
    with pytest.raises(pytest.skip.Exception, match=CONSTANT):
        derivatives.skip_surrogate(planted(DETACHED, surrogate_gradient=CONSTANT)[1])
