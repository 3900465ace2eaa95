"""The centers' fused kernels: steps, alone and with loss and gradient. Every launch is watched for
lanes out of bounds."""

from __future__ import annotations

import bounds
import pytest
import torch
from fused_heads import DTYPES

from marginbench import catalogue
from marginbench.center import fused as center
from marginbench.center import fused_centers
from marginbench.inputs import random_inputs
from marginbench.loss import Shape
from marginbench.shared import launching


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


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
