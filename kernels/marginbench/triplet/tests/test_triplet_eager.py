"""Triplet losses in plain PyTorch: eager against the reference, on every path.

Most inputs lie on a coarse grid, where float32 rounds nothing: ties and kinks are met exactly, and
no triplet changes sides by rounding, whatever the seed.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from pair_cases import (
    EPS,
    SHAPES,
    Largest,
    compare,
    force_small_blocks,
    force_static_shapes,
    grid,
    outcome_of,
    resolved,
    variants,
)

import marginbench.triplet.batch_all as all_triplets
import marginbench.triplet.beyond as nearest
import marginbench.triplet.mined as mined
from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.inputs import random_batch
from marginbench.loss import REDUCTIONS, Loss, Shape, Variant
from marginbench.triplet import eager

MARGIN = 0.25
BATCH = variants("triplet", "batch")
# Sums of a few thousand exact terms, and products with D columns, round in float32: 16 roundings.
ROUNDINGS = 16 * EPS


# ---- eager, against the reference


@pytest.mark.parametrize(("loss", "variant"), BATCH)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_eager_equals_the_reference(loss: Loss, variant: Variant, shape: Shape, seed: int) -> None:
    for reduction in REDUCTIONS:
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            batch = grid(shape, seed, dtype)
            compare(loss, variant, batch, reduction, ROUNDINGS, seed, margin=MARGIN)


@pytest.mark.parametrize(("loss", "variant"), BATCH)
@pytest.mark.parametrize("path", ("search", "static", "blocks", "static blocks", "search blocks"))
def test_every_path_equals_the_reference(
    loss: Loss, variant: Variant, path: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few positives or many, static shapes as on a GPU, one block or several."""
    if "search" in path:
        monkeypatch.setitem(all_triplets.sweep.__kwdefaults__, "few", 0)
        monkeypatch.setattr(nearest, "_FEW", 0)
        monkeypatch.setattr(mined, "_COLUMNS_PER_TRIPLET", 0)
    if "static" in path:
        force_static_shapes(monkeypatch)
    if "blocks" in path:
        force_small_blocks(monkeypatch)
    for shape in SHAPES:
        for reduction in ("none", "mean"):
            compare(loss, variant, grid(shape, seed), reduction, ROUNDINGS, seed, margin=MARGIN)


def test_by_rank_and_by_search_agree_on_drawn_batches(seed: int) -> None:
    """Off the grid, in float64, where a hinge within rounding of its kink is not to be met."""
    for shape, beyond in itertools.product((Shape(60, 8, 20), Shape(60, 8, 2)), (False, True)):
        batch = random_batch(shape, seed, unit=True)
        x, y = batch.embeddings.double(), batch.labels
        weights = torch.linspace(-1, 1, shape.batch, dtype=torch.float64)
        few, many = (
            all_triplets.sweep(
                x, y, weights, True, margin=0.2, beyond=beyond, divisor="active", few=limit
            )
            for limit in (10**9, 0)
        )
        for one, other in zip(few, many, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_explicit_equals_the_reference(reduction: str, seed: int) -> None:
    loss = catalogue.get("triplet")
    for shape in (Shape(1, 3, 1), Shape(17, 5, 3), Shape(300, 33, 7)):
        anchor, positive, negative = (grid(shape, seed + i)["embeddings"] for i in range(3))
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            rows = {"anchor": anchor, "positive": positive, "negative": negative}
            rows = {name: tensor.to(dtype) for name, tensor in rows.items()}
            compare(loss, loss.variant("explicit"), rows, reduction, ROUNDINGS, seed, margin=MARGIN)


@pytest.mark.parametrize(("loss", "variant"), BATCH)
def test_without_positives_or_without_negatives_all_is_zero(loss: Loss, variant: Variant) -> None:
    for labels in (torch.zeros(20, dtype=torch.int64), torch.arange(20)):
        batch = {"embeddings": grid(Shape(20, 4, 1), 0)["embeddings"], "labels": labels}
        for reduction in REDUCTIONS:
            upstream = torch.ones(20 if reduction == "none" else ())
            got = outcome_of(
                resolved(loss, variant, "eager"), batch, ("embeddings",), variant.options,
                reduction, upstream,
            )  # fmt: skip
            assert not got.value.any()
            assert not got.gradients[0].any()


@pytest.mark.parametrize(("loss", "variant"), BATCH)
def test_duplicates_are_at_distance_zero(loss: Loss, variant: Variant, seed: int) -> None:
    """One point that float32 does not hold on any grid, far from the origin: every hinge is the
    margin, or no triplet is semi-hard, and nothing pulls anywhere."""
    point = 3 + torch.rand(1, 9, generator=torch.Generator().manual_seed(seed))
    batch = {"embeddings": point.expand(30, 9).contiguous(), "labels": torch.arange(30) % 6}
    got = outcome_of(
        resolved(loss, variant, "eager"), batch, ("embeddings",), variant.options, "mean",
        torch.tensor(1.0),
    )  # fmt: skip
    expected = 0.0 if variant.name == "semi-hard-all" else variant.options["margin"]
    assert float(got.value) == pytest.approx(expected, rel=4 * EPS)
    # Sums over 30 rows of the point's size, each term rounded.
    assert float(got.gradients[0].abs().max()) <= 30 * 4 * EPS


@pytest.mark.parametrize(("loss", "variant"), BATCH)
def test_a_common_offset_costs_no_precision(loss: Loss, variant: Variant, seed: int) -> None:
    """A grid batch moved so far that float32 still holds it, but not its products' sums."""
    batch = grid(Shape(50, 6, 8), seed)
    moved = {**batch, "embeddings": batch["embeddings"] + 2.0**16}
    function = resolved(loss, variant, "eager")
    options = {**variant.options, "margin": MARGIN}
    upstream = torch.ones(50)
    here, there = (
        outcome_of(function, tensors, ("embeddings",), options, "none", upstream)
        for tensors in (batch, moved)
    )
    torch.testing.assert_close(there.value, here.value, rtol=ROUNDINGS, atol=0)
    torch.testing.assert_close(there.gradients[0], here.gradients[0], rtol=0, atol=64 * ROUNDINGS)


def test_no_tensor_is_larger_than_its_block(seed: int) -> None:
    """B^3 would be 27 million elements here, half of it positives."""
    batch = grid(Shape(300, 4, 2), seed)
    batch["embeddings"].requires_grad_()
    for function in (eager.batch_all, eager.semi_hard_all, eager.semi_hard, eager.batch_hard):
        with Largest() as largest:
            function(**batch).backward()
        # Four slots of a block of B x B, of which there is one.
        assert 300**2 <= largest.elements <= 4 * 300**2


# ---- autograd's other uses


def test_backward_runs_twice_and_a_gradient_penalty_is_refused() -> None:
    batch = grid(Shape(12, 3, 4), 0)
    x = batch["embeddings"].requires_grad_()
    explicit = eager.explicit(x, x.detach().roll(1, 0), x.detach().roll(2, 0))
    sums = (eager.batch_all(**batch, reduction=reduction).sum() for reduction in ("mean", "none"))
    for value in (explicit, *sums):
        (first,) = torch.autograd.grad(value, x, retain_graph=True)
        with pytest.raises(RuntimeError, match="create_graph: expected False"):
            torch.autograd.grad(value, x, create_graph=True, retain_graph=True)
        (second,) = torch.autograd.grad(value, x)
        assert torch.equal(first, second)
    with torch.no_grad():
        assert not eager.batch_all(**batch).requires_grad


@pytest.mark.parametrize("name", ("batch_all", "semi_hard_all", "batch_hard", "semi_hard"))
def test_autocast_changes_nothing(name: str, seed: int) -> None:
    batch = random_batch(Shape(40, 16, 8), seed, unit=True)
    x, y = batch.embeddings.requires_grad_(), batch.labels
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            terms = getattr(eager, name)(x, y, reduction="none")
            results.append((terms, *torch.autograd.grad(terms.sum(), x)))
    for plain, cast in zip(*results, strict=True):
        assert torch.equal(plain, cast)


@pytest.mark.parametrize("name", ("batch_all", "semi_hard"))
def test_compiles_without_a_graph_break(name: str, seed: int) -> None:
    """Traced only: what a code generator makes of the graph is its own business."""
    function = torch.compile(getattr(eager, name), fullgraph=True, backend="aot_eager")
    batch = grid(Shape(21, 4, 5), seed)
    x = batch["embeddings"].requires_grad_()
    plain = getattr(eager, name)(**batch, margin=MARGIN)
    traced = function(**batch, margin=MARGIN)
    torch.testing.assert_close(traced, plain, rtol=ROUNDINGS, atol=0)
    ours, theirs = (torch.autograd.grad(value, x)[0] for value in (plain, traced))
    torch.testing.assert_close(theirs, ours, rtol=ROUNDINGS, atol=ROUNDINGS)


# ---- bad input

X, Y = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("argument", "changed"),
    [
        ("embeddings", {"embeddings": torch.zeros(4)}),
        ("embeddings", {"embeddings": torch.zeros(0, 3), "labels": Y[:0]}),
        ("embeddings", {"embeddings": X.long()}),
        ("embeddings", {"embeddings": torch.full((4, 3), math.nan)}),
        ("labels", {"labels": Y[:3]}),
        ("labels", {"labels": Y.int()}),
        ("labels", {"labels": Y - 1}),
        ("margin", {"margin": -0.1}),
        ("margin", {"margin": math.nan}),
        ("reduction", {"reduction": "average"}),
    ],
)
@pytest.mark.parametrize("name", ("batch_all", "batch_hard", "semi_hard", "semi_hard_all"))
def test_bad_input_is_named(name: str, argument: str, changed: dict) -> None:
    with pytest.raises(InputError, match=f"^{argument}: expected .*; got "):
        getattr(eager, name)(**{"embeddings": X, "labels": Y, **changed})


def test_bad_input_of_the_others_is_named() -> None:
    with pytest.raises(InputError, match="divisor: expected"):
        eager.batch_all(X, Y, divisor="all")
    with pytest.raises(InputError, match="labels: expected"):
        eager.mine_semi_hard_all(X, Y - 1)
    with pytest.raises(InputError, match="negative: expected"):
        eager.explicit(X, X, X[:3])
    with pytest.raises(InputError, match="positive: expected"):
        eager.explicit(X, X.double(), X)
