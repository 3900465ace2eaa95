"""CosFace by plain Python, and a library that computes the same."""

from __future__ import annotations

import math

import pytest
import torch
from head_cases import RAGGED, assert_close, bound_of, draw, function_of, outcome_of, truth_of

from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.cosface import eager, reference, tiled
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
