"""A-Softmax by the paper's formula with angles, at the poles and at norm zero; a peer agrees."""

from __future__ import annotations

import math

import pytest
import torch
from head_cases import (
    RAGGED,
    assert_close,
    bound_of,
    check_eager,
    draw,
    function_of,
    outcome_of,
    replaced,
    truth_of,
)

from marginbench import catalogue
from marginbench.a_softmax import eager as a_softmax_eager
from marginbench.a_softmax import reference as a_softmax_reference
from marginbench.checks import InputError
from marginbench.loss import REDUCTIONS, Shape

VARIANTS = [
    pytest.param(catalogue.get("a-softmax"), variant, id=variant.name)
    for variant in catalogue.get("a-softmax").variants
]


def _psi_by_angle(theta: float, m: int) -> float:
    k = min(int(theta * m / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


@pytest.mark.parametrize("m", (1, 2, 3, 4))
def test_psi_is_the_piecewise_cosine_and_falls(m: int) -> None:
    """On a grid that holds every step of k and both poles, for reference and eager."""
    angles = [i * math.pi / 720 for i in range(721)]
    expected = torch.tensor([_psi_by_angle(angle, m) for angle in angles], dtype=torch.float64)
    cosines = torch.tensor(angles, dtype=torch.float64).cos().requires_grad_()
    by_reference = a_softmax_reference.psi(cosines, m)
    # A cosine is rounded by eps, which psi's slope (at most m^2) passes on; values reach 2m.
    bound = 4 * m**2 * torch.finfo(torch.float64).eps
    assert (by_reference - expected).abs().max() <= bound
    if m == 1:  # without a margin eager forms no psi
        return
    by_eager, slope = a_softmax_eager.psi(cosines.detach(), m)
    assert (by_eager - expected).abs().max() <= bound
    assert (by_eager.diff() <= bound).all()
    (expected_slope,) = torch.autograd.grad(by_reference.sum(), cosines)
    assert (slope - expected_slope).abs().max() <= m**2 * bound
    assert torch.isfinite(slope).all()
    assert slope[0] == m**2


def _a_softmax_by_loops(x, labels, weights, m: int, annealing: float) -> list[float]:
    terms = []
    for row, label in zip(x.tolist(), labels.tolist(), strict=True):
        length = math.hypot(*row)
        logits = []
        for j, weight in enumerate(weights.tolist()):
            dot = sum(a * b for a, b in zip(row, weight, strict=True))
            theta = math.acos(dot / (length * math.hypot(*weight)))
            plain = length * math.cos(theta)
            target = (annealing * plain + length * _psi_by_angle(theta, m)) / (1 + annealing)
            logits.append(target if j == label else plain)
        terms.append(math.log(sum(math.exp(v) for v in logits)) - logits[label])
    return terms


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_reference_is_the_papers_formula_with_angles(loss, variant, seed: int) -> None:
    inputs = draw(variant, Shape(9, 4, 5), "float64", seed)
    tensors = {name: tensor.detach() for name, tensor in inputs.tensors.items()}
    expected = _a_softmax_by_loops(*tensors.values(), **variant.options)
    got = a_softmax_reference.a_softmax(**tensors, **variant.options, reduction="none")
    # acos loses half the digits near the poles; drawn angles stay away from them.
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("sign", (1, -1), ids=("parallel", "antiparallel"))
@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_at_the_poles(loss, variant, sign: int, seed: int) -> None:
    """cos theta = +1 and -1, where an acos has no finite gradient."""
    for dtype in ("float64", "float32"):
        inputs = draw(variant, RAGGED, dtype, seed)
        own = inputs.tensors["class_weights"][inputs.tensors["labels"]]
        check_eager(loss, variant, replaced(inputs, embeddings=2 * sign * own), seed)


@pytest.mark.parametrize("module", (a_softmax_reference, a_softmax_eager))
def test_the_sub_gradients_at_norm_zero(module) -> None:
    """At x = 0 all logits are 0: each other class pulls by 1/C, the target with a margin by its
    plain part alone; a class weight of norm 0 takes no gradient."""
    weights = torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0])
    for m, annealing, plain_part in ((4, 0.0, 0.0), (4, 3.0, 0.75), (1, 0.0, 1.0)):
        x = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        w = weights.clone().requires_grad_()
        module.a_softmax(x, labels, w, m=m, annealing=annealing).backward()
        expected = torch.tensor([[1 / 3, -2 / 3 * plain_part]], dtype=torch.float64)
        torch.testing.assert_close(x.grad, expected, rtol=1e-15, atol=1e-15)
        assert not w.grad.any()


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_pytorch_metric_learning_computes_the_same(loss, variant, seed: int) -> None:
    pytest.importorskip("pytorch_metric_learning")
    inputs = draw(variant, RAGGED, "float64", seed)
    if variant.options["annealing"]:
        assert "pytorch-metric-learning" not in [c.name for c in variant.contenders]
        with pytest.raises(InputError, match=r"^annealing:"):
            loss.resolve("peers:a_softmax")(**inputs.tensors, **variant.options)
        return
    function = function_of(loss, variant, "pytorch-metric-learning")
    for reduction in REDUCTIONS:
        got = outcome_of(function, inputs, variant.options, reduction, seed)
        truth = truth_of(loss, variant, inputs, reduction, seed)
        assert_close(got, truth, bound_of(inputs, variant.options))
