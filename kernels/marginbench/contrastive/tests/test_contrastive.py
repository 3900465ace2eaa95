"""Contrastive loss: the reference against loops, eager and peer against the reference."""

from __future__ import annotations

import math

import pytest
import torch
from pair_cases import (
    DISTANCE,
    EPS,
    SHAPES,
    Largest,
    assert_near,
    compare,
    force_small_blocks,
    force_static_shapes,
    grid,
    outcome_of,
    variants,
)

from marginbench import catalogue
from marginbench.checks import InputError
from marginbench.contrastive import eager, reference
from marginbench.inputs import random_inputs
from marginbench.loss import REDUCTIONS, Inputs, Loss, Shape, Variant
from marginbench.shared import motions

BOTH = variants("contrastive", "batch", "rows")
ROUNDINGS = 16 * EPS


def _drawn(variant: Variant, shape: Shape, seed: int, dtype: str = "float32"):
    inputs = random_inputs(variant, shape, dtype, "cpu", seed)
    return {name: tensor.detach() for name, tensor in inputs.tensors.items()}


# ---- the reference, against the definition spelt out in Python numbers


def _pair(a: list[float], b: list[float], different: bool, margin: float) -> float:
    distance = math.dist(a, b)
    return max(0.0, margin - distance) ** 2 / 2 if different else distance**2 / 2


@pytest.mark.parametrize("shape", SHAPES[:7], ids=str)
def test_reference_is_the_definition(shape: Shape, seed: int) -> None:
    batch = grid(shape, seed, torch.float64)
    x, y = batch["embeddings"].tolist(), batch["labels"].tolist()
    count = shape.batch
    table = [[_pair(x[i], x[j], y[i] != y[j], 1.0) for j in range(count)] for i in range(count)]
    terms = [sum(row) / 2 for row in table]
    total = sum(table[i][j] for i in range(count) for j in range(i))
    near = {"rel": 1e-13, "abs": 1e-15}
    assert reference.all_pairs(**batch, reduction="none").tolist() == pytest.approx(terms, **near)
    assert float(reference.all_pairs(**batch, reduction="sum")) == pytest.approx(total, **near)
    expected = total / max(count * (count - 1) / 2, 1)
    assert float(reference.all_pairs(**batch)) == pytest.approx(expected, **near)
    different = [y[i] != y[i - 1] for i in range(count)]
    rows = [_pair(x[i], x[i - 1], different[i], 1.0) for i in range(count)]
    got = reference.pairs(
        batch["embeddings"], batch["embeddings"].roll(1, 0), torch.tensor(different),
        reduction="none",
    )  # fmt: skip
    assert got.tolist() == pytest.approx(rows, **near)


@pytest.mark.parametrize(("loss", "variant"), BOTH)
def test_gradient_of_the_reference_is_that_of_its_value(
    loss: Loss, variant: Variant, seed: int
) -> None:
    tensors = _drawn(variant, Shape(9, 3, 3), seed, "float64")
    function = loss.resolve(variant.contender("reference").entry)
    names = variant.differentiable
    leaves = tuple(tensors[name].requires_grad_() for name in names)
    others = {name: tensor for name, tensor in tensors.items() if name not in names}

    def value(*arguments: torch.Tensor) -> torch.Tensor:
        return function(**dict(zip(names, arguments, strict=True)), **others, reduction="sum")

    assert torch.autograd.gradcheck(value, leaves)


# ---- eager, against the reference


@pytest.mark.parametrize(("loss", "variant"), BOTH)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_eager_equals_the_reference(
    loss: Loss, variant: Variant, reduction: str, seed: int
) -> None:
    for shape in SHAPES:
        for dtype in ("float32", "float64", "bfloat16", "float16"):
            tensors = _drawn(variant, shape, seed, dtype)
            bound = 1e-12 if dtype == "float64" else DISTANCE
            compare(loss, variant, tensors, reduction, bound, seed)


@pytest.mark.parametrize("path", ("blocks", "static", "static blocks"))
def test_every_path_equals_the_reference(
    path: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "static" in path:
        force_static_shapes(monkeypatch)
    if "blocks" in path:
        force_small_blocks(monkeypatch)
    loss = catalogue.get("contrastive")
    variant = loss.variant("all-pairs")
    for shape in SHAPES:
        for reduction in ("none", "mean"):
            compare(loss, variant, _drawn(variant, shape, seed), reduction, DISTANCE, seed)
            compare(loss, variant, grid(shape, seed), reduction, DISTANCE, seed)


@pytest.mark.parametrize("distance", (1e-1, 1e-2, 1e-3, 1e-4, 1e-5))
@pytest.mark.parametrize("path", ("plain", "static"))
def test_near_pairs_have_good_gradients(
    distance: float, path: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twins at a small distance, of different identities, amid others: the gradient of each row,
    which is the push along a difference that a product of slopes with embeddings would lose."""
    if path == "static":
        force_static_shapes(monkeypatch)
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.nn.functional.normalize(torch.randn(40, 16, generator=generator), dim=1)
    away_BD = torch.nn.functional.normalize(torch.randn(40, 16, generator=generator), dim=1)
    batch = {"embeddings": torch.cat((x_BD, x_BD + distance * away_BD)), "labels": torch.arange(80)}
    upstream = torch.linspace(0.5, 1.5, 80)
    got, right = (
        outcome_of(function, tensors, ("embeddings",), {"margin": 0.5}, "none", upstream)
        for function, tensors in (
            (eager.all_pairs, batch),
            (reference.all_pairs, {**batch, "embeddings": batch["embeddings"].double()}),
        )
    )
    for row in range(80):
        assert_near(f"row {row}", got.gradients[0][row], right.gradients[0][row], DISTANCE)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.float16))
@pytest.mark.parametrize("path", ("plain", "static", "blocks"))
def test_duplicates_push_without_direction(
    dtype: torch.dtype, path: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Different identities at one point: margin^2/2 each and the sub-gradient 0, never NaN."""
    if path == "static":
        force_static_shapes(monkeypatch)
    if path == "blocks":
        force_small_blocks(monkeypatch)
    generator = torch.Generator().manual_seed(seed)
    point = (3 + torch.rand(1, 9, generator=generator)).to(dtype).expand(30, 9).contiguous()
    for x_BD in (point, torch.zeros_like(point)):
        x_BD = x_BD.clone().requires_grad_()
        value = eager.all_pairs(x_BD, torch.arange(30))
        value.backward()
        assert value.item() == pytest.approx(0.5, rel=4 * EPS)
        assert x_BD.grad is not None and not x_BD.grad.any()
        a = x_BD.detach().clone().requires_grad_()
        value = eager.pairs(a, x_BD.detach(), torch.ones(30, dtype=torch.bool))
        value.backward()
        assert value.item() == pytest.approx(0.5, rel=4 * EPS)
        assert a.grad is not None and not a.grad.any()


def test_one_identity_and_one_sample() -> None:
    """Without different pairs the mean is that of all D^2/2; without pairs it is 0."""
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    value = eager.all_pairs(x, torch.tensor([5, 5]))
    value.backward()
    assert value.item() == pytest.approx(12.5, rel=ROUNDINGS)
    torch.testing.assert_close(x.grad, torch.tensor([[-3.0, -4.0], [3.0, 4.0]]))
    alone = torch.ones(1, 2, requires_grad=True)
    value = eager.all_pairs(alone, torch.tensor([0]))
    value.backward()
    assert value.item() == 0 and not alone.grad.any()


def test_memory_stays_at_blocks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    force_small_blocks(monkeypatch)
    batch = grid(Shape(300, 4, 50), seed)
    batch["embeddings"].requires_grad_()
    with Largest() as largest:
        eager.all_pairs(**batch, reduction="none").sum().backward()
    # Three slots of a block of 16 anchors.
    assert largest.elements == 3 * 16 * 300


# ---- autograd's other uses


def test_backward_runs_twice_and_a_gradient_penalty_is_refused() -> None:
    batch = grid(Shape(12, 3, 4), 0)
    x = batch["embeddings"].requires_grad_()
    different = torch.arange(12) % 2 == 0
    for value in (eager.all_pairs(**batch), eager.pairs(x, x.detach().roll(1, 0), different)):
        (first,) = torch.autograd.grad(value, x, retain_graph=True)
        with pytest.raises(RuntimeError, match="create_graph: expected False"):
            torch.autograd.grad(value, x, create_graph=True, retain_graph=True)
        (second,) = torch.autograd.grad(value, x)
        assert torch.equal(first, second)


def test_compiles_without_a_graph_break(seed: int) -> None:
    """Traced only: what a code generator makes of the graph is its own business."""
    function = torch.compile(eager.all_pairs, fullgraph=True, backend="aot_eager")
    batch = _drawn(catalogue.get("contrastive").variant("all-pairs"), Shape(21, 4, 5), seed)
    x = batch["embeddings"].requires_grad_()
    plain, traced = eager.all_pairs(**batch), function(**batch)
    torch.testing.assert_close(traced, plain, rtol=DISTANCE, atol=0)
    ours, theirs = (torch.autograd.grad(value, x)[0] for value in (plain, traced))
    assert_near("gradient", theirs, ours, DISTANCE)


# ---- invariants, peer, bad input


@pytest.mark.parametrize("check", (motions.rotation, motions.translation, motions.permutation))
def test_invariants_see_a_broken_loss(check, seed: int) -> None:
    """The checks themselves can fail: each on a loss without its property."""

    def broken(embeddings: torch.Tensor, labels: torch.Tensor, *, reduction: str) -> torch.Tensor:
        place = torch.arange(len(labels), dtype=embeddings.dtype)
        return embeddings[:, 0].square() * place

    variant = catalogue.get("contrastive").variant("all-pairs")
    inputs = Inputs(_drawn(variant, Shape(12, 3, 4), seed), ("embeddings",))
    with pytest.raises(AssertionError, match="relative change"):
        check(broken, inputs, {})
    check(eager.all_pairs, inputs, {})


@pytest.mark.parametrize(("loss", "variant"), BOTH)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_peer_equals_the_reference(loss: Loss, variant: Variant, reduction: str, seed: int) -> None:
    pytest.importorskip("pytorch_metric_learning")
    for shape in (Shape(37, 9, 7), Shape(30, 5, 1), Shape(12, 6, 12)):
        tensors = _drawn(variant, shape, seed, "float64")
        compare(loss, variant, tensors, reduction, 1e-9, seed, "pytorch-metric-learning")


def test_peer_says_where_it_stops() -> None:
    limit = catalogue.get("contrastive").variant("pairs").contender("pytorch-metric-learning").limit
    assert limit is not None
    assert limit(Shape(1024, 128, 8), "float32") is None
    assert "returns 0" in str(limit(Shape(1, 16, 1), "float32"))
    assert "N x N" in str(limit(Shape(65_536, 128, 8), "float32"))


X, Y, Z = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("argument", "changed"),
    [
        ("embeddings", {"embeddings": torch.zeros(4)}),
        ("embeddings", {"embeddings": torch.full((4, 3), math.inf)}),
        ("labels", {"labels": Y[:3]}),
        ("labels", {"labels": Y - 1}),
        ("margin", {"margin": -1.0}),
        ("reduction", {"reduction": "average"}),
    ],
)
def test_bad_batch_is_named(argument: str, changed: dict) -> None:
    with pytest.raises(InputError, match=f"^{argument}: expected .*; got "):
        eager.all_pairs(**{"embeddings": X, "labels": Y, **changed})


@pytest.mark.parametrize(
    ("argument", "changed"),
    [
        ("embeddings_a", {"embeddings_a": X[:0]}),
        ("embeddings_b", {"embeddings_b": X[:3]}),
        ("embeddings_b", {"embeddings_b": X.double()}),
        ("different", {"different": Y}),
        ("different", {"different": Z[:2]}),
        ("margin", {"margin": -1.0}),
        ("reduction", {"reduction": None}),
    ],
)
def test_bad_pairs_are_named(argument: str, changed: dict) -> None:
    with pytest.raises(InputError, match=f"^{argument}: expected .*; got "):
        eager.pairs(**{"embeddings_a": X, "embeddings_b": X, "different": Z, **changed})
