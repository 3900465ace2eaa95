"""Triplet losses: the reference against the definitions, spelt out in Python numbers."""

from __future__ import annotations

import itertools

import pytest
import torch
from pair_cases import SHAPES, grid, resolved, variants

from marginbench.inputs import random_inputs
from marginbench.loss import Loss, Shape, Variant

MARGIN = 0.25
BATCH = variants("triplet", "batch")


def _loops(x: list[list[float]], y: list[int], name: str) -> tuple[list[float], int]:
    """Terms and divisor by the definition of each variant, one triplet after the other."""
    count = len(x)
    d = [[sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) for b in x] for a in x]
    terms, divisor = [0.0] * count, 0
    for a in range(count):
        same = [p for p in range(count) if y[p] == y[a] and p != a]
        other = [n for n in range(count) if y[n] != y[a]]
        if not same or not other:
            continue
        if name == "batch-hard":
            triplets = [(max(same, key=lambda p: d[a][p]), min(other, key=lambda n: d[a][n]))]
        elif name == "semi-hard":
            triplets = []
            for p in same:
                beyond = [n for n in other if d[a][n] > d[a][p]]
                nearest = min(beyond, key=lambda n: d[a][n], default=None)
                triplets.append((p, nearest if beyond else max(other, key=lambda n: d[a][n])))
        else:
            triplets = list(itertools.product(same, other))
        for p, n in triplets:
            hinge = max(0.0, d[a][p] - d[a][n] + MARGIN)
            if name == "semi-hard-all" and not d[a][p] < d[a][n] < d[a][p] + MARGIN:
                continue
            if name == "batch-all-active" and hinge == 0:
                continue
            terms[a] += hinge
            divisor += 1
    return terms, divisor


@pytest.mark.parametrize(("loss", "variant"), BATCH)
@pytest.mark.parametrize("shape", SHAPES[:7], ids=str)
def test_reference_is_the_definition(loss: Loss, variant: Variant, shape: Shape, seed: int) -> None:
    batch = grid(shape, seed, torch.float64)
    terms, divisor = _loops(batch["embeddings"].tolist(), batch["labels"].tolist(), variant.name)
    function = resolved(loss, variant, "reference")
    options = {**variant.options, "margin": MARGIN}
    # Everything is exact on the grid, whatever the order of summation; the division rounds.
    assert function(**batch, **options, reduction="none").tolist() == terms
    assert float(function(**batch, **options, reduction="sum")) == sum(terms)
    expected = sum(terms) / max(divisor, 1)
    assert float(function(**batch, **options, reduction="mean")) == pytest.approx(
        expected, rel=1e-15
    )


@pytest.mark.parametrize(("loss", "variant"), BATCH)
def test_gradient_of_the_reference_is_that_of_its_value(
    loss: Loss, variant: Variant, seed: int
) -> None:
    """By finite differences, off the kinks: none lies within the step for these seeds."""
    inputs = random_inputs(variant, Shape(9, 3, 3), "float64", "cpu", seed % 100)
    x, y = inputs.tensors["embeddings"], inputs.tensors["labels"]
    function = resolved(loss, variant, "reference")
    (slope,) = torch.autograd.grad(function(x, y, **variant.options, reduction="sum"), x)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).double()
    step = 1e-7
    with torch.no_grad():
        ahead = function(x + step * direction, y, **variant.options, reduction="sum")
        behind = function(x - step * direction, y, **variant.options, reduction="sum")
    numeric = float(ahead - behind) / (2 * step)
    analytic = float((slope * direction).sum())
    # A hinge that changes sides inside the step adds at most half its slope; one in a million do.
    assert numeric == pytest.approx(analytic, rel=1e-4, abs=1e-4)
