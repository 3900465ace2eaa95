"""CosFace by plain Python, and a library that computes the same."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from head_cases import RAGGED, assert_close, bound_of, draw, function_of, outcome_of, truth_of

from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.cosface import eager, fused, reference, tiled
from marginbench.inputs import random_inputs
from marginbench.loss import REDUCTIONS, Shape

LOSS = catalogue.get("cosface")
VARIANT = LOSS.variant("margin")


def _by_loops(x, labels, weights, scale: float, margin: float) -> list[float]:
    terms = []
    for row, label in zip(x.tolist(), labels.tolist(), strict=True):
        cosines = [
            sum(a * b for a, b in zip(row, weight, strict=True))
            / (math.hypot(*row) * math.hypot(*weight))
            for weight in weights.tolist()
        ]
        target = math.exp(scale * (cosines[label] - margin))
        others = math.fsum(math.exp(scale * c) for j, c in enumerate(cosines) if j != label)
        terms.append(-math.log(target / (target + others)))
    return terms


@pytest.mark.parametrize("margin", (0.0, 0.35, 1.0))
@pytest.mark.parametrize("module", (reference, eager, tiled))
def test_it_is_the_papers_formula(module, margin: float, seed: int):
    tensors = draw(VARIANT, Shape(9, 4, 5), "float64", seed).tensors
    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    want = torch.tensor(_by_loops(*plain.values(), 6.1, margin), dtype=torch.float64)
    got = module.cosface(**plain, scale=6.1, margin=margin, reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("module", (reference, eager, tiled, fused))
def test_value_and_gradients_are_those_of_torchs_own_operations(module, seed: int, device: str):
    dtype, close = ("float32", 1e-4) if module is fused else ("float64", 1e-11)
    on = device if module is fused else "cpu"
    inputs = random_inputs(VARIANT, RAGGED, dtype, on, seed)
    labels, names = inputs.tensors["labels"], inputs.differentiable
    x, w = (inputs.tensors[name].detach().clone().requires_grad_() for name in names)
    scale, mine = (torch.tensor(6.1).to(x).requires_grad_() for _ in range(2))
    cosine_BC = F.normalize(x) @ F.normalize(w).T
    margin_BC = 0.35 * F.one_hot(labels, len(w)).to(x)
    plain = F.cross_entropy(scale * (cosine_BC - margin_BC), labels)
    value = module.cosface(**inputs.tensors, scale=mine, margin=0.35)
    want = torch.autograd.grad(plain, [x, w, scale])
    got = torch.autograd.grad(value, [*(inputs.tensors[name] for name in names), mine])
    torch.testing.assert_close(value, plain, rtol=close / 100, atol=0)
    for one, right in zip(got, want, strict=True):
        torch.testing.assert_close(one, right, rtol=close, atol=close / 100)


@pytest.mark.parametrize("corrected", (False, True))
@pytest.mark.parametrize("module", (reference, eager, tiled))
def test_sampled_is_the_formula_over_those_classes(module, corrected: bool, seed: int):
    """As insightface's second version; corrected, by a margin of log((C - 1) / (S - 1)) / s more,
    which takes as much off the target's logit."""
    tensors = draw(LOSS.variant("sampled"), Shape(4, 4, 31), "float64", seed).tensors
    x, labels, weights, sampled = (tensor.detach() for tensor in tensors.values())
    assert len(sampled) < 31 and set(labels.tolist()) <= set(sampled.tolist())
    own = torch.tensor([sampled.tolist().index(label) for label in labels.tolist()])
    margin = 0.35 + corrected * math.log(30 / (len(sampled) - 1)) / 6.1
    want = torch.tensor(_by_loops(x, own, weights[sampled], 6.1, margin), dtype=torch.float64)
    got = module.cosface_sampled(
        x, labels, weights, sampled, scale=6.1, margin=0.35, corrected=corrected, reduction="none"
    )
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-13)


_SAMPLED = {
    "falling": [5, 3, 0],
    "twice": [0, 3, 3, 5],
    "below": [-1, 0, 3, 5],
    "above": [0, 3, 5, 9],
    "a label is missing": [0, 5],
    "none": [],
    "floats": [0.0, 3.0, 5.0],
}


@pytest.mark.parametrize("sampled", _SAMPLED.values(), ids=_SAMPLED)
def test_sampled_classes_that_are_none_are_named(sampled: list):
    x_BD, w_CD, labels = torch.ones(3, 2), torch.ones(9, 2), torch.tensor([3, 0, 5])
    eager.cosface_sampled(x_BD, labels, w_CD, torch.tensor([0, 3, 5]))
    with pytest.raises(InputError, match=r"^sampled: expected .+; got "):
        eager.cosface_sampled(x_BD, labels, w_CD, torch.tensor(sampled))


def test_pytorch_metric_learning_computes_the_same(seed: int):
    pytest.importorskip("pytorch_metric_learning")
    inputs = draw(VARIANT, RAGGED, "float64", seed)
    for reduction in REDUCTIONS:
        function = function_of(LOSS, VARIANT, "pytorch-metric-learning")
        got = outcome_of(function, inputs, VARIANT.options, reduction, seed)
        truth = truth_of(LOSS, VARIANT, inputs, reduction, seed)
        assert_close(got, truth, bound_of(inputs, VARIANT.options))


@pytest.mark.parametrize("value", (-0.1, float("inf"), float("nan"), "1"), ids=str)
def test_a_bad_margin_is_named(value: object):
    x_BD, labels = torch.ones(2, 3), torch.tensor([0, 1])
    with pytest.raises(InputError, match=r"^margin: expected .+; got "):
        eager.cosface(x_BD, labels, torch.ones(2, 3), margin=value)
