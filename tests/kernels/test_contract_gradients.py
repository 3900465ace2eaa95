"""A gradient is the derivative of the value, or declared not to be: never one without the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import derivatives
import pytest
import test_contract
import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.loss import Contender, Loss, Variant
from marginbench.shared.reduction import reduce
from marginbench.softmax.reference import negative_log_probability

VARIANTS = [
    (loss, variant)
    for loss in catalogue.losses()
    for variant in loss.variants
    if variant.output == "loss"
]
CONSTANT = "the margin counts as a constant"


def _name(value: object) -> str:
    return getattr(value, "name", str(value))


@pytest.mark.parametrize(("loss", "variant"), VARIANTS, ids=_name)
def test_the_gradient_is_the_derivative_or_declared_not_to_be(
    loss: Loss, variant: Variant, seed: int
):
    assert list(derivatives.faults(loss, variant, seed)) == []


def _with_margin(embeddings, labels, class_weights, shift: Callable[[Tensor], Tensor], reduction):
    """Cross-entropy over cosines, the target's less ``shift`` of it."""
    x_BD = torch.nn.functional.normalize(embeddings.double(), dim=1)
    cosine_BC = x_BD @ torch.nn.functional.normalize(class_weights.double(), dim=1).T
    target_B1 = cosine_BC.gather(1, labels[:, None])
    logits_BC = 8 * cosine_BC.scatter(1, labels[:, None], target_B1 - shift(target_B1))
    return reduce(negative_log_probability(logits_BC, labels), reduction)


def derived(embeddings, labels, class_weights, *, reduction="mean"):
    return _with_margin(embeddings, labels, class_weights, lambda c: 0.3 * c.square(), reduction)


def detached(embeddings, labels, class_weights, *, reduction="mean"):
    shift = lambda c: (0.3 * c.square()).detach()  # noqa: E731
    return _with_margin(embeddings, labels, class_weights, shift, reduction)


@dataclass(frozen=True)
class _Planted(Loss):
    """A loss whose entries are functions of this file."""

    def resolve(self, entry: str) -> Callable[..., Any]:
        return globals()[entry]


def _planted(reference: str, eager: str = "", **changes: Any) -> tuple[Loss, Variant]:
    softmax = catalogue.get("softmax")
    contenders = (Contender("reference", reference), Contender("eager", eager or reference))
    variant = replace(softmax.variant("no-bias"), contenders=contenders, **changes)
    given: Mapping[str, Any] = {"name": "planted", "title": "planted", "source": "a test"}
    return _Planted(**given, variants=(variant,)), variant


def test_a_detached_margin_has_to_be_declared(seed: int):
    (said,) = derivatives.faults(*_planted("detached"), seed)
    assert "off the derivative of its value" in said
    assert list(derivatives.faults(*_planted("detached", surrogate_gradient=CONSTANT), seed)) == []


def test_a_gradient_that_is_the_derivative_is_not_declared_otherwise(seed: int):
    assert list(derivatives.faults(*_planted("derived"), seed)) == []
    (said,) = derivatives.faults(*_planted("derived", surrogate_gradient=CONSTANT), seed)
    assert "expected none, for its gradient is the derivative" in said


def test_every_implementation_owes_the_gradient_of_the_reference(seed: int):
    test_contract.test_agrees_with_its_reference(
        *_planted("detached", surrogate_gradient=CONSTANT), seed
    )
    with pytest.raises(AssertionError, match="eager embeddings"):
        test_contract.test_agrees_with_its_reference(
            *_planted("detached", "derived", surrogate_gradient=CONSTANT), seed
        )


def test_finite_differences_are_asked_of_every_other_variant():
    _, plain = _planted("derived")
    derivatives.skip_surrogate(plain)
    _, surrogate = _planted("detached", surrogate_gradient=CONSTANT)
    with pytest.raises(pytest.skip.Exception, match="the margin counts as a constant"):
        derivatives.skip_surrogate(surrogate)
