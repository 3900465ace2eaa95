"""NormFace by softmax of normalised operands, its learnt scale, and a library that has it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from head_cases import RAGGED, assert_close, bound_of, draw, function_of, outcome_of, truth_of

from marginbench import NormFaceLoss, catalogue
from marginbench.checks import InputError
from marginbench.inputs import random_inputs
from marginbench.loss import REDUCTIONS
from marginbench.normface import eager, fused, reference, tiled

LOSS = catalogue.get("normface")


@pytest.mark.parametrize("module", (reference, eager, tiled, fused))
def test_it_is_cross_entropy_of_scaled_cosines_also_by_the_scale(module, seed: int, device: str):
    """In torch's own operations, whose normalise divides by the length."""
    dtype, close = ("float32", 1e-4) if module is fused else ("float64", 1e-11)
    on = device if module is fused else "cpu"
    inputs = random_inputs(LOSS.variant("learnt"), RAGGED, dtype, on, seed)
    names = inputs.differentiable
    x, w, scale = (inputs.tensors[name].detach().clone().requires_grad_() for name in names)
    cosine_BC = F.normalize(x) @ F.normalize(w).T
    plain = F.cross_entropy(scale * cosine_BC, inputs.tensors["labels"])
    value = module.normface(**inputs.tensors)
    want = torch.autograd.grad(plain, [x, w, scale])
    got = torch.autograd.grad(value, [inputs.tensors[name] for name in names])
    torch.testing.assert_close(value, plain, rtol=close / 100, atol=0)
    for mine, right in zip(got, want, strict=True):
        torch.testing.assert_close(mine, right, rtol=close, atol=close / 100)


def test_the_scale_of_a_module_is_learnt_or_stays(seed: int):
    torch.manual_seed(seed)
    x, labels = torch.randn(8, 4), torch.arange(8) % 3
    learnt, fixed = NormFaceLoss(4, 3), NormFaceLoss(4, 3, scale=7.0, learn_scale=False)
    learnt(x, labels).backward()
    assert learnt.scale.grad is not None and float(learnt.scale.grad) != 0
    assert fixed.scale == 7.0 and [name for name, _ in fixed.named_parameters()] == [
        "class_weights"
    ]
    with torch.no_grad():
        learnt.scale.fill_(3.0)
    again = NormFaceLoss.from_state_dict(learnt.state_dict())
    assert float(again.scale.detach()) == 3.0
    assert torch.allclose(again.logits(x), learnt.logits(x))
    assert float(again.logits(x).detach().abs().max()) <= 3.0 * (1 + 1e-6)
    again.reset_parameters()
    assert float(again.scale.detach()) == 10.0


def test_pytorch_metric_learning_computes_the_same(seed: int):
    pytest.importorskip("pytorch_metric_learning")
    variant = LOSS.variant("fixed")
    inputs = draw(variant, RAGGED, "float64", seed)
    for reduction in REDUCTIONS:
        function = function_of(LOSS, variant, "pytorch-metric-learning")
        got = outcome_of(function, inputs, variant.options, reduction, seed)
        truth = truth_of(LOSS, variant, inputs, reduction, seed)
        assert_close(got, truth, bound_of(inputs, variant.options))


@pytest.mark.parametrize(
    "value", (0.0, -1.0, "1", torch.tensor(0.0), torch.tensor([1.0]), torch.tensor(1)), ids=repr
)
def test_a_bad_scale_is_named(value: object):
    x_BD, labels = torch.ones(2, 3), torch.tensor([0, 1])
    with pytest.raises(InputError, match=r"^scale: expected .+; got "):
        eager.normface(x_BD, labels, torch.ones(2, 3), scale=value)
