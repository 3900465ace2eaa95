"""The Triton side of softmax, A-Softmax and center loss: right values and gradients.

Truth is the float64 reference on the same numbers. A fused kernel may be twice as wrong as eager,
and a floor (`fused_heads.floor`) keeps eager's luck out of it. Every launch is watched for lanes
out of bounds. Runs in Triton's interpreter where there is no GPU.
"""

from __future__ import annotations

import math

import bounds
import pytest
import torch
from fused_heads import (
    DTYPES,
    OWN_TILES,
    REPRESENTATIVES,
    SMALL_TILES,
    VARIANTS,
    assert_agrees,
    changed,
    draw,
    use_small_tiles,
)

from marginbench import catalogue
from marginbench.a_softmax import fused as a_softmax
from marginbench.a_softmax import reference as a_softmax_reference
from marginbench.a_softmax.arguments import MARGINS
from marginbench.center import fused as center
from marginbench.center import fused_centers
from marginbench.inputs import random_inputs
from marginbench.loss import Inputs, Shape
from marginbench.shared import launching, linear_lse_gradients


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_agrees_over_many_tiles(name: str, dtype: str, monkeypatch, device: str, seed: int):
    use_small_tiles(monkeypatch)
    for shape in SMALL_TILES:
        assert_agrees(name, draw(name, shape, dtype, device, seed), seed, ("none",))


@pytest.mark.parametrize("name", REPRESENTATIVES[:2])
def test_agrees_where_a_split_has_several_blocks(name: str, monkeypatch, device: str, seed: int):
    """Seven blocks of classes for two processors and three blocks of rows: splits of 3, 3 and 1."""
    use_small_tiles(monkeypatch)
    assert_agrees(name, draw(name, Shape(33, 5, 101), "float32", device, seed), seed, ("none",))


@pytest.mark.parametrize("name", VARIANTS)
def test_agrees_in_its_own_tiles(name: str, device: str, seed: int):
    for shape in OWN_TILES:
        assert_agrees(name, draw(name, shape, "float32", device, seed), seed)
    for dtype in DTYPES[1:]:
        assert_agrees(name, draw(name, OWN_TILES[-1], dtype, device, seed), seed)


def test_agrees_where_ranges_of_classes_end_in_the_middle(device: str, seed: int, monkeypatch):
    monkeypatch.setattr(linear_lse_gradients, "range_of_classes", lambda *_: 128)
    for name in ("softmax/linear", "a-softmax/m4"):
        assert_agrees(
            name, draw(name, Shape(5, 16, 300), "bfloat16", device, seed), seed, ("none",)
        )


def _edges(inputs: Inputs) -> dict[str, Inputs]:
    x, w, y = (inputs.tensors[k].detach() for k in ("embeddings", "class_weights", "labels"))
    sign = torch.tensor([1.0, -1.0]).repeat(len(x))[: len(x), None].to(x)
    some = torch.arange(len(x), device=x.device)[:, None] % 3 == 0
    spread = torch.logspace(-2, 2, len(w), device=w.device)[:, None].to(w)
    return {
        "zero embeddings": changed(inputs, embeddings=x.where(some, 0.0)),
        "zero class weights": changed(inputs, class_weights=w.where(torch.arange(
            len(w), device=x.device)[:, None] % 3 == 0, 0.0)),
        "all zero": changed(inputs, embeddings=0 * x, class_weights=0 * w),
        "large norms": changed(inputs, embeddings=30 * x),
        "lengths of the weights apart": changed(inputs, class_weights=w * spread),
        "cosine +-1": changed(inputs, embeddings=sign * w[y]),
        "duplicates": changed(inputs, embeddings=x[:1].repeat(len(x), 1)),
        "all of one class": changed(inputs, labels=torch.full_like(y, len(w) - 1)),
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "center/term"])
def test_agrees_at_the_edges(name: str, device: str, seed: int):
    for dtype in ("float32", "float16"):
        for edge, inputs in _edges(draw(name, Shape(17, 19, 37), dtype, device, seed)).items():
            try:
                assert_agrees(name, inputs, seed, ("none",))
            except AssertionError as error:
                raise AssertionError(f"{edge}, {dtype}: {error}") from error


@pytest.mark.parametrize("m", MARGINS)
def test_the_margin_is_as_defined_at_every_angle(m: int, device: str):
    """65 angles from 0 to pi, and beside the segments' ends, with two lengths of x."""
    ends = torch.arange(1, m, dtype=torch.float64) * math.pi / m
    even = torch.linspace(0, math.pi, 65, dtype=torch.float64)
    angle_B = torch.cat((even, ends - 0.005, ends + 0.005)).repeat(2)
    length_B = torch.tensor([0.5, 3.0], dtype=torch.float64).repeat_interleave(len(angle_B) // 2)
    x_BD = torch.stack((angle_B.cos(), angle_B.sin()), dim=1) * length_B[:, None]
    w_CD = torch.tensor([[2.0, 0.0], [0.3, -0.4]])
    for annealing in (0.0, 5.0):
        x = x_BD.float().to(device).requires_grad_()
        wide = x.detach().double().requires_grad_()
        y = torch.zeros(len(x), dtype=torch.int64, device=device)
        got = a_softmax.a_softmax(x, y, w_CD.to(device), m=m, annealing=annealing, reduction="none")
        reference = VARIANTS["a-softmax/m4"][0].resolve("reference:a_softmax")
        options = {"m": m, "annealing": annealing, "reduction": "none"}
        want = reference(wide, y, w_CD.double().to(device), **options)
        # psi's second derivative by the cosine is at most m^2 (m^2 - 1) / 3.
        bound = 8 * torch.finfo(torch.float32).eps * (1 + m**4)
        assert float((got - want).abs().max()) <= bound
        (dx,) = torch.autograd.grad(got.sum(), x)
        (dwide,) = torch.autograd.grad(want.sum(), wide)
        assert float((dx - dwide).abs().max()) <= bound


def test_half_precision_keeps_small_and_large_upstream_gradients(device: str, seed: int):
    """A loss scale costs no digits: only what float16 itself can't hold is lost."""
    for name in REPRESENTATIVES[:2]:
        inputs = draw(name, Shape(17, 16, 37), "float16", device, seed)
        loss, variant = VARIANTS[name]
        function = loss.resolve(variant.contender("triton").entry)
        terms = function(**inputs.tensors, **variant.options, reduction="none")
        leaves = [inputs.tensors[of] for of in inputs.differentiable]
        plain = torch.autograd.grad(terms.sum(), leaves, retain_graph=True)
        for scale in (2.0**-10, 2.0**6):
            scaled = torch.autograd.grad((terms * scale).sum(), leaves, retain_graph=True)
            for one, other in zip(plain, scaled, strict=True):
                tiny = torch.finfo(torch.float16).smallest_normal * (1 + 1 / scale)
                torch.testing.assert_close(other.double() / scale, one.double(), rtol=0, atol=tiny)


@pytest.mark.parametrize("dtype", DTYPES)
def test_centers_step_as_the_reference_does(dtype: str, device: str, seed: int):
    loss = catalogue.get("center")
    variant = loss.variant("update")
    reference, eager = (loss.resolve(f"{of}:update") for of in ("reference", "eager"))
    for shape in (Shape(1, 1, 1), Shape(37, 19, 7), Shape(5, 129, 40), Shape(65, 16, 2)):
        inputs = random_inputs(variant, shape, dtype, device, seed)
        before = inputs.tensors["centers"].clone()
        want = reference(**inputs.tensors, **variant.options)
        got = center.update(**inputs.tensors, **variant.options)
        assert got.dtype == before.dtype and torch.equal(before, inputs.tensors["centers"])
        assert torch.equal(got, center.update(**inputs.tensors, **variant.options))
        mine, theirs = (
            float((o.double() - want).norm())
            for o in (got, eager(**inputs.tensors, **variant.options))
        )
        assert mine <= 2 * theirs + 2 * torch.finfo(got.dtype).eps * float(want.norm())


@pytest.mark.parametrize("together", [1, 16])
def test_steps_add_up_over_many_blocks_of_labels(together: int, monkeypatch, device, seed: int):
    """One class or 16 a program, labels 16 at a time, strips of 16 columns."""
    sizes = {"CLASSES": together, "MANY": 1, "LABELS": 16, "STRIP": 16}
    for name, size in sizes.items():
        monkeypatch.setattr(fused_centers, name, size)
    loss = catalogue.get("center")
    variant = loss.variant("update")
    for shape in (Shape(37, 19, 7), Shape(50, 16, 33), Shape(33, 17, 1)):
        inputs = random_inputs(variant, shape, "float32", device, seed)
        want = loss.resolve("reference:update")(**inputs.tensors, **variant.options)
        got = center.update(**inputs.tensors, **variant.options)
        allowed = 8 * torch.finfo(torch.float32).eps * float(want.norm())
        assert float((got.double() - want).norm()) <= allowed


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_gradient_and_step_are_those_apart_in_two_launches(dtype, monkeypatch, device, seed):
    inputs = random_inputs(
        catalogue.get("center").variant("term"), Shape(37, 19, 7), dtype, device, seed
    ).tensors
    kernels = []
    run = launching.Launch.__call__

    def counted(entry: launching.Launch) -> None:
        kernels.append(entry.kernel)
        run(entry)

    monkeypatch.setattr(launching.Launch, "__call__", counted)
    value, centers = center.step(**inputs, alpha=0.3)
    (gradient,) = torch.autograd.grad(value, inputs["embeddings"])
    assert len(kernels) == 2 and not centers.requires_grad
    alone = center.term(**inputs)
    (gradient_alone,) = torch.autograd.grad(alone, inputs["embeddings"])
    assert torch.equal(value, alone) and torch.equal(gradient, gradient_alone)
    assert torch.equal(centers, center.update(**inputs, alpha=0.3))


@pytest.mark.parametrize("bad", [-1, 7, 2**40])
def test_a_label_out_of_range_makes_every_new_center_nan(bad: int, device: str, seed: int):
    inputs = random_inputs(
        catalogue.get("center").variant("update"), Shape(37, 19, 7), "float32", device, seed
    ).tensors
    labels = inputs["labels"].clone()
    labels[5] = bad
    assert (
        fused_centers.center_update(inputs["embeddings"], labels, inputs["centers"], 0.5)
        .isnan()
        .all()
    )


def test_a_confident_row_keeps_the_digits_of_its_lead(device: str, seed: int):
    """Rivals at exactly 0 and a target near 45 that float32 rounds: by up to 2e-6, which its
    exponential, which is all of the loss, would take over."""
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(64, 12, generator=generator) * 0.02
    labels = torch.arange(64) % 5
    x_BD[:, :5] = 0
    x_BD[torch.arange(64), labels] = 1
    x_BD *= 44 + torch.rand(64, 1, generator=generator)
    terms = [
        module.a_softmax(
            x_BD.to(device, dtype), labels.to(device), torch.eye(5, 12, device=device, dtype=dtype),
            m=4, reduction="none",
        ).double()
        for module, dtype in ((a_softmax, torch.float32), (a_softmax_reference, torch.float64))
    ]  # fmt: skip
    assert float((terms[0] / terms[1] - 1).abs().max()) <= 4 * torch.finfo(torch.float32).eps
