"""The center loss by the paper's formulas, its updates, and distances made a few rows at a time."""

from __future__ import annotations

import math

import pytest
import torch
from head_cases import RAGGED, check_eager, draw

from marginbench import catalogue
from marginbench.center import eager as center_eager
from marginbench.center import reference as center_reference
from marginbench.loss import Shape
from marginbench.softmax import eager as softmax_eager


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
