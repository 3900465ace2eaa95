"""Partial FC of every head: what is sampled, which rows move, and what a resumed training draws."""

from __future__ import annotations

import io
import itertools

import pytest
import torch
from torch import Tensor

import marginbench
from marginbench import InputError, PartialFC, RowSGD

HEADS = ("SoftmaxLoss", "ASoftmaxLoss", "NormFaceLoss", "CosFaceLoss", "ArcFaceLoss",
         "CombinedMarginLoss", "SphereFaceRLoss", "MagFaceLoss")  # fmt: skip
DIM, CLASSES, ROWS = 8, 60, 5
every_head = pytest.mark.parametrize("name", HEADS)


def _made(
    name: str, seed: int, /, rate: float = 0.2, classes: int = CLASSES, **options
) -> PartialFC:
    torch.manual_seed(seed)
    own = {key: options.pop(key) for key in ("seed", "corrected") if key in options}
    return PartialFC(getattr(marginbench, name)(DIM, classes, **options), rate, **own)


def _batch(seed: int, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(ROWS, DIM, generator=generator)
    return x_BD, torch.randint(classes, (ROWS,), generator=generator)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().view(torch.int32)


@every_head
@pytest.mark.parametrize("reduction", ("none", "sum", "mean"))
def test_it_is_the_head_over_the_sampled_classes(name: str, reduction: str, seed: int):
    module, (x_BD, labels) = _made(name, seed, reduction=reduction), _batch(seed)
    sampled, weights = module.sample(labels), torch.rand(ROWS)
    module.draws = 0
    head = getattr(marginbench, name)(DIM, len(sampled), reduction=reduction)
    with torch.no_grad():
        for mine, of in zip(head.parameters(), module.head.parameters(), strict=True):
            mine.copy_(of[sampled] if of.ndim else of)
    own = torch.tensor([sampled.tolist().index(label) for label in labels.tolist()])
    torch.testing.assert_close(module(x_BD, labels), head(x_BD, own))
    module.draws = 0
    value, wanted = module(x_BD, labels, weights).sum(), head(x_BD, own, weights).sum()
    torch.testing.assert_close(value, wanted)
    value.backward()
    wanted.backward()
    for mine, of in zip(module.head.parameters(), head.parameters(), strict=True):
        got = mine.grad.to_dense()
        torch.testing.assert_close(got[sampled] if got.ndim else got, of.grad)


def test_a_correction_makes_the_others_stand_for_all(seed: int):
    """By log-sum-exp in float64: each sampled class but the label's (C - 1) / (S - 1) times."""
    module, (x_BD, labels) = _made("SoftmaxLoss", seed, corrected=True, bias=False), _batch(seed)
    sampled = module.sample(labels)
    module.draws = 0
    logits_BS = x_BD.double() @ module.head.class_weights.detach()[sampled].double().T
    own_B1 = torch.searchsorted(sampled, labels)[:, None]
    others = torch.full_like(logits_BS, (CLASSES - 1) / (len(sampled) - 1)).log()
    logits_BS = logits_BS + others.scatter(1, own_B1, 0)
    wanted = torch.nn.functional.cross_entropy(logits_BS, own_B1[:, 0])
    torch.testing.assert_close(module(x_BD, labels).double(), wanted, rtol=1e-6, atol=1e-6)


@every_head
def test_rate_1_and_evaluation_are_the_head(name: str, seed: int):
    module, (x_BD, labels) = _made(name, seed, rate=1.0), _batch(seed)
    assert torch.equal(module(x_BD, labels), module.head(x_BD, labels))
    module = _made(name, seed).eval()
    assert torch.equal(module(x_BD, labels), module.head(x_BD, labels))
    assert module.draws == 0


def test_a_sample_holds_the_labels_and_each_class_once(seed: int):
    module = _made("CosFaceLoss", seed, rate=0.25, seed=seed)
    for _ in range(20):
        labels = torch.randint(CLASSES, (ROWS,))
        sampled = module.sample(labels)
        assert len(sampled) == 15 and set(labels.tolist()) <= set(sampled.tolist())
        assert (sampled.diff() > 0).all() and sampled[0] >= 0 and sampled[-1] < CLASSES


def test_other_classes_are_drawn_equally_often(seed: int):
    module = _made("CosFaceLoss", seed, rate=0.25, seed=seed)
    counts, labels, draws = torch.zeros(CLASSES), torch.tensor([7]), 2000
    for _ in range(draws):
        counts[module.sample(labels)] += 1
    share = 14 / 59
    rest = counts[torch.arange(CLASSES) != 7] / draws
    assert counts[7] == draws
    assert (rest - share).abs().max() < 6 * (share * (1 - share) / draws) ** 0.5


def test_a_batch_of_more_classes_than_the_rate_has_room():
    module = _made("CosFaceLoss", 0, rate=0.01)
    assert module.sample(torch.tensor([3, 1, 4, 1, 5])).numel() == 5
    assert module(torch.randn(5, DIM), torch.tensor([3, 1, 4, 1, 5])).isfinite()
    # More rows than classes: all classes, and so the head itself.
    module(torch.randn(80, DIM), torch.arange(80) % CLASSES).backward()
    assert not module.head.class_weights.grad.is_sparse


@every_head
def test_rows_that_are_not_sampled_keep_their_bits(name: str, seed: int):
    """With momentum and weight decay, over steps; those that are sampled all move."""
    module = _made(name, seed, seed=seed)
    optimizer = RowSGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for step in range(4):
        x_BD, labels = _batch(seed + step)
        before = _bits(module.head.class_weights)
        draws = module.draws
        optimizer.zero_grad()
        module(x_BD, labels).backward()
        optimizer.step()
        module.draws = draws
        sampled = module.sample(labels)
        still = torch.ones(CLASSES, dtype=torch.bool).index_fill(0, sampled, False)
        after = _bits(module.head.class_weights)
        assert torch.equal(after[still], before[still])
        assert (after[sampled] != before[sampled]).any(dim=1).all()


def test_sparse_adam_takes_its_gradients(seed: int):
    # Of so low a scale that no class is without a gradient.
    module, (x_BD, labels) = _made("CosFaceLoss", seed, scale=4.0), _batch(seed)
    before = _bits(module.head.class_weights)
    module(x_BD, labels).backward()
    torch.optim.SparseAdam(module.parameters(), lr=0.1).step()
    assert (_bits(module.head.class_weights) != before).any(dim=1).sum() == 12


@pytest.mark.parametrize("sparse", (False, True))
def test_row_sgd_is_torchs_where_every_row_has_a_gradient(sparse: bool, seed: int):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(6, 3, generator=generator)
    mine, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    ours, torchs = RowSGD([mine], **settings), torch.optim.SGD([theirs], **settings)
    for _ in range(4):
        gradient = torch.randn(6, 3, generator=generator)
        mine.grad, theirs.grad = gradient.to_sparse(1) if sparse else gradient.clone(), gradient
        ours.step()
        torchs.step()
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
    mine.grad = None
    before = _bits(mine)
    assert ours.step(lambda: 3) == 3 and torch.equal(_bits(mine), before)


def test_a_row_keeps_its_momentum_until_it_is_sampled_again():
    weight = torch.nn.Parameter(torch.zeros(2, 1))
    optimizer = RowSGD([weight], lr=1.0, momentum=0.5)
    for row in (0, 1, 1, 0):
        weight.grad = torch.sparse_coo_tensor([[row]], [[1.0]], (2, 1), check_invariants=True)
        optimizer.step()
    assert weight.tolist() == [[-2.5], [-2.5]]


def test_gradients_of_two_batches_add_up(seed: int):
    module = _made("CosFaceLoss", seed, reduction="sum")
    wanted = torch.zeros(CLASSES, DIM)
    for step in range(2):
        module.zero_grad()
        module.draws = step
        module(*_batch(seed + step)).backward()
        wanted += module.head.class_weights.grad.to_dense()
    module.zero_grad()
    module.draws = 0
    for step in range(2):
        module(*_batch(seed + step)).backward()
    torch.testing.assert_close(module.head.class_weights.grad.to_dense(), wanted)


def test_a_resumed_training_draws_as_if_it_had_not_stopped(seed: int):
    module, labels = _made("CosFaceLoss", seed, seed=seed), torch.tensor([1])
    first = module.sample(labels)
    kept = io.BytesIO()
    torch.save(module.state_dict(), kept)
    kept.seek(0)
    second = module.sample(labels)
    other = _made("CosFaceLoss", seed + 1)
    other.load_state_dict(torch.load(kept, weights_only=True))
    assert torch.equal(other.sample(labels), second) and not torch.equal(first, second)
    fresh = (_made("CosFaceLoss", 0, seed=one).sample(labels) for one in (seed, seed + 1))
    assert torch.equal(next(fresh), first) and not torch.equal(next(fresh), first)


def test_ignored_rows_count_for_nothing_and_sample_nothing(seed: int):
    module, (x_BD, labels) = _made("CosFaceLoss", seed, ignore_index=-100), _batch(seed)
    labels = labels.index_fill(0, torch.tensor([0, 3]), -100)
    value = module(x_BD, labels)
    module.draws = 0
    kept = labels != -100
    assert module._size(ROWS) == module._size(int(kept.sum()))
    torch.testing.assert_close(value, module(x_BD[kept], labels[kept]))
    module(x_BD, torch.full_like(labels, -100)).backward()


@pytest.mark.parametrize("corrected", (False, True))
@pytest.mark.parametrize("implementation", ("eager", "tiled", "reference"))
def test_every_implementation_takes_sampled_classes(implementation, corrected, seed: int):
    values = []
    for one in ("reference", implementation):
        module = _made("ArcFaceLoss", seed, implementation=one, corrected=corrected)
        values.append(float(module(*_batch(seed)).detach()))
    assert values[1] == pytest.approx(values[0], rel=1e-5)


def _refused():
    head = marginbench.CosFaceLoss(DIM, CLASSES)
    smooth = marginbench.CosFaceLoss(DIM, CLASSES, label_smoothing=0.1)
    ignoring = marginbench.CosFaceLoss(DIM, CLASSES, ignore_index=0)
    yield from zip(
        itertools.repeat("rate"), itertools.repeat(head),
        [{"rate": rate} for rate in (0, -0.1, 1.1, float("nan"), "1", True)], strict=False,
    )  # fmt: skip
    yield "seed", head, {"seed": -1}
    yield "seed", head, {"seed": 0.5}
    yield "head", marginbench.TripletLoss(), {}
    yield "head", marginbench.CenterLoss(DIM, CLASSES), {}
    yield "head", ignoring, {}
    yield "corrected", smooth, {"corrected": True}
    yield "corrected", marginbench.MagFaceLoss(DIM, CLASSES), {"corrected": True}


@pytest.mark.parametrize(("argument", "head", "options"), list(_refused()), ids=str)
def test_what_it_cannot_take_is_named(argument: str, head, options: dict):
    with pytest.raises(InputError, match=rf"^{argument}: expected .+; got "):
        PartialFC(head, **options)


@pytest.mark.parametrize("label", (-1, CLASSES))
def test_a_label_that_is_no_class_is_named(label: int):
    with pytest.raises(InputError, match=r"^labels: expected every label in \[0, 60\); got "):
        _made("CosFaceLoss", 0)(torch.randn(2, DIM), torch.tensor([3, label]))


@pytest.mark.parametrize("option", ("lr", "momentum", "weight_decay"))
def test_a_bad_option_of_row_sgd_is_named(option: str):
    with pytest.raises(InputError, match=rf"^{option}: expected .+; got -1"):
        RowSGD([torch.nn.Parameter(torch.ones(2))], **{option: -1})
