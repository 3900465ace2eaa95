"""The heads over class weights: softmax, A-Softmax and center loss, reference and eager.

Truth, in this order: plain Python loops with angles for the reference, the float64 reference for
eager. Bounds are written in roundings of the dtype, see `head_cases.bound_of`.
"""

from __future__ import annotations

import math

import pytest
import torch
from head_cases import (
    A_SOFTMAX,
    RAGGED,
    SHAPES,
    VARIANTS,
    check_eager,
    draw,
    replaced,
)

from marginbench import catalogue
from marginbench.a_softmax import eager as a_softmax_eager
from marginbench.a_softmax import reference as a_softmax_reference
from marginbench.center import eager as center_eager
from marginbench.center import reference as center_reference
from marginbench.loss import Inputs, Shape
from marginbench.softmax import eager as softmax_eager


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


@pytest.mark.parametrize(("loss", "variant"), A_SOFTMAX)
def test_reference_is_the_papers_formula_with_angles(loss, variant, seed: int) -> None:
    inputs = draw(variant, Shape(9, 4, 5), "float64", seed)
    tensors = {name: tensor.detach() for name, tensor in inputs.tensors.items()}
    expected = _a_softmax_by_loops(*tensors.values(), **variant.options)
    got = a_softmax_reference.a_softmax(**tensors, **variant.options, reduction="none")
    # acos loses half the digits near the poles; drawn angles stay away from them.
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)


def test_center_reference_is_the_papers_formula(seed: int) -> None:
    joint = catalogue.get("center").variant("joint")
    inputs = draw(joint, Shape(9, 4, 5), "float64", seed)
    x, labels, centers = (inputs.tensors[n].tolist() for n in ("embeddings", "labels", "centers"))
    squares = [math.dist(row, centers[y]) ** 2 for row, y in zip(x, labels, strict=True)]
    head = {n: t.detach() for n, t in inputs.tensors.items() if n != "centers"}
    softmax = softmax_eager.softmax(**head, reduction="none")
    got = center_reference.joint(**inputs.tensors, weight=0.3, reduction="none")
    expected = softmax + 0.15 * torch.tensor(squares, dtype=torch.float64)
    torch.testing.assert_close(got.detach(), expected, rtol=1e-13, atol=1e-13)


def test_update_is_the_papers_formula(seed: int) -> None:
    """Written out by classes; class 5 has no sample and stays."""
    variant = catalogue.get("center").variant("update")
    inputs = draw(variant, Shape(11, 3, 5), "float64", seed)
    x, labels, centers = inputs.tensors.values()
    centers = torch.cat((centers, torch.ones(1, 3, dtype=torch.float64)))
    expected = centers.tolist()
    for j, center in enumerate(centers.tolist()):
        members = [row for row, y in zip(x.tolist(), labels.tolist(), strict=True) if y == j]
        for d, value in enumerate(center):
            step = sum(value - row[d] for row in members) / (1 + len(members))
            expected[j][d] = value - 0.5 * step
    for module in (center_reference, center_eager):
        got = module.update(x, labels, centers, alpha=0.5)
        expected_tensor = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(got, expected_tensor, rtol=1e-13, atol=1e-13)
        assert torch.equal(got[5], centers[5])


# --- eager against the reference -----------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_eager_agrees_with_the_reference(loss, variant, shape: Shape, seed: int) -> None:
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        check_eager(loss, variant, draw(variant, shape, dtype, seed), seed)


@pytest.mark.parametrize("sign", (1, -1), ids=("parallel", "antiparallel"))
@pytest.mark.parametrize(("loss", "variant"), A_SOFTMAX)
def test_at_the_poles(loss, variant, sign: int, seed: int) -> None:
    """cos theta = +1 and -1, where an acos has no finite gradient."""
    for dtype in ("float64", "float32"):
        inputs = draw(variant, RAGGED, dtype, seed)
        own = inputs.tensors["class_weights"][inputs.tensors["labels"]]
        check_eager(loss, variant, replaced(inputs, embeddings=2 * sign * own), seed)


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_zero_norms(loss, variant, seed: int) -> None:
    """Embeddings and class weights of norm 0, a target's and another class's, and all at once."""
    for dtype in ("float64", "float32", "float16"):
        inputs = draw(variant, RAGGED, dtype, seed)
        x = inputs.tensors["embeddings"].detach().clone()
        x[:3] = 0
        changed = {"embeddings": x}
        if "class_weights" in inputs.tensors:
            weights = inputs.tensors["class_weights"].detach().clone()
            weights[inputs.tensors["labels"][1]] = 0
            weights[inputs.tensors["labels"][5]] = 0
            changed["class_weights"] = weights
        check_eager(loss, variant, replaced(inputs, **changed), seed)
        check_eager(loss, variant, replaced(inputs, **{n: 0 * t for n, t in changed.items()}), seed)


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
def test_large_norms(loss, variant, seed: int) -> None:
    for dtype in ("float64", "float32"):
        inputs = draw(variant, RAGGED, dtype, seed)
        check_eager(
            loss, variant, replaced(inputs, embeddings=1e3 * inputs.tensors["embeddings"]), seed
        )


@pytest.mark.parametrize(("loss", "variant"), VARIANTS)
def test_layouts_give_the_same(loss, variant, seed: int) -> None:
    """Transposed and strided tensors."""
    inputs = draw(variant, RAGGED, "float64", seed)
    strided = {}
    for name, tensor in inputs.tensors.items():
        tensor = tensor.detach()
        if tensor.ndim == 2:
            tensor = tensor.T.contiguous().T
        else:
            tensor = torch.stack((tensor, tensor), dim=1)[:, 0]
        strided[name] = tensor.requires_grad_(name in inputs.differentiable)
    assert not strided["embeddings"].is_contiguous()
    check_eager(loss, variant, Inputs(strided, inputs.differentiable), seed)


@pytest.mark.parametrize("name", ("joint", "term"))
def test_distances_made_a_few_rows_at_a_time(name: str, monkeypatch, seed: int) -> None:
    """37 rows by 16: two full pieces and a ragged one."""
    monkeypatch.setattr(center_eager, "_ROWS", 16)
    center = catalogue.get("center")
    inputs = draw(center.variant(name), RAGGED, "float64", seed)
    check_eager(center, center.variant(name), inputs, seed)


@pytest.mark.parametrize("shape", (Shape(1, 1, 1), Shape(37, 19, 23), Shape(8, 5, 40)), ids=str)
@pytest.mark.parametrize("dtype", ("float64", "float32", "bfloat16", "float16"))
def test_update(dtype: str, shape: Shape, seed: int) -> None:
    variant = catalogue.get("center").variant("update")
    inputs = draw(variant, shape, dtype, seed)
    before = {name: tensor.clone() for name, tensor in inputs.tensors.items()}
    inputs.tensors["embeddings"].requires_grad_()
    got = center_eager.update(**inputs.tensors, alpha=0.3)
    again = center_eager.update(**inputs.tensors, alpha=0.3)
    assert torch.equal(got, again)
    assert got.dtype == getattr(torch, dtype)
    assert not got.requires_grad
    truth = center_reference.update(**inputs.tensors, alpha=0.3)
    # A sum of at most B terms in at least float32, then one rounding to the dtype, both relative
    # to what is added: centers and samples may cancel.
    sums = torch.finfo(torch.promote_types(got.dtype, torch.float32)).eps * shape.batch
    bound = torch.finfo(got.dtype).eps + sums
    size = before["centers"].double().norm() + before["embeddings"].double().norm()
    assert (got.double() - truth).norm() <= bound * size
    for name, tensor in inputs.tensors.items():
        assert torch.equal(tensor.detach(), before[name]), name
    assert torch.equal(center_eager.update(**inputs.tensors, alpha=0.0), before["centers"])
