"""Ignored rows, row weights, label smoothing, predictions and others' class weights, for heads."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from library_cases import CLASSES, DIM, HEADS, OTHERS, ROWS, Case, labelled

import marginbench
from marginbench import InputError, catalogue

every_head = pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)
EPS = torch.finfo(torch.float64).eps


def _margined_logits(logits_BC, y_B, loss_B):
    """The logits of each row, the target's with its margin whatever that is: what the loss without
    smoothing, log(1 + sum_{j != y} exp(l_j - l_y)), says of l_y."""
    others_BC = logits_BC.scatter(1, y_B[:, None], -torch.inf)
    target_B = others_BC.logsumexp(dim=1) - loss_B.expm1().log()
    return logits_BC.scatter(1, y_B[:, None], target_B[:, None])


def _double(case: Case, **options):
    return case.make(dtype=torch.float64, reduction="none", **options)


@every_head
def test_smoothing_is_cross_entropy_with_smoothed_targets(case: Case, seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    x_BD = x_BD.double()
    module = _double(case, label_smoothing=0.1)
    alone = _double(case, implementation="reference", **case.loss.cross_entropy_options)
    alone.load_state_dict(module.state_dict())
    got = module(x_BD, y_B)
    with torch.no_grad():
        logits_BC = _margined_logits(alone.logits(x_BD), y_B, alone(x_BD, y_B))
        module.label_smoothing, module.implementation = 0.0, "reference"
        added = module(x_BD, y_B) - alone(x_BD, y_B)
    wanted = F.cross_entropy(logits_BC, y_B, label_smoothing=0.1, reduction="none") + added
    # Logits of lengths up to 8 or so, whose margin costs 16 roundings; the target's, solved for
    # where a loss is small, as many again.
    assert (got - wanted).abs().max() <= 4096 * EPS * float(logits_BC.abs().max())


@every_head
def test_smoothing_has_the_gradient_of_its_value(case: Case, seed: int):
    x_BD, y_B = labelled(5, seed)
    module = _double(case, label_smoothing=0.2, implementation="reference")
    if case.surrogate_gradient:
        pytest.skip(f"its gradient is not its value's: {case.surrogate_gradient}")
    x = x_BD.double().requires_grad_()

    def value(x, weights):
        named = {"class_weights": weights}
        return torch.func.functional_call(module, named, (x, y_B))

    weights = module.class_weights.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(value, (x, weights))


@every_head
def test_ignored_rows_are_as_if_they_were_not_there(case: Case, seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    module = case.make(ignore_index=-100)
    masked = y_B.clone()
    masked[1::4] = -100
    kept = masked != -100
    x = x_BD.clone().requires_grad_()
    value = module(x, masked)
    value.backward()
    plain = case.make()
    plain.load_state_dict(module.state_dict())
    wanted = plain(x_BD[kept], y_B[kept])
    assert torch.isclose(value, wanted, rtol=1e-6)
    assert not x.grad[~kept].any() and x.grad[kept].any(dim=1).all()
    nothing = module(x_BD, torch.full_like(y_B, -100))
    assert nothing == 0


@every_head
def test_weights_weigh_rows_and_the_mean_divides_by_their_sum(case: Case, seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(ROWS, generator=generator) * torch.tensor([0.01, 1.0]).repeat(ROWS // 2)
    module = case.make(reduction="none")
    terms = module(x_BD, y_B)
    weighted = module(x_BD, y_B, weights)
    assert torch.equal(weighted, terms * weights)
    module.reduction = "mean"
    wanted = (terms * weights).sum() / weights.sum()
    assert torch.isclose(module(x_BD, y_B, weights), wanted, rtol=1e-6)
    assert torch.isclose(module(x_BD, y_B, torch.full((ROWS,), 1e-3)), terms.mean(), rtol=1e-5)
    assert module(x_BD, y_B, torch.zeros(ROWS)) == 0


@every_head
@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (torch.ones(3), "weights: expected 24 floating-point numbers"),
        (torch.ones(ROWS, dtype=torch.int64), "weights: expected 24 floating-point numbers"),
        (torch.full((ROWS,), -1.0), "weights: expected no negative weight; got -1"),
        (torch.full((ROWS,), math.nan), "weights: expected finite values"),
        ([1.0] * ROWS, "weights: expected a tensor; got list"),
    ],
    ids=["too few", "integers", "negative", "NaN", "a list"],
)
def test_wrong_weights_are_named(case: Case, weights, says: str, seed: int):
    with pytest.raises(InputError, match=says):
        case.make()(*labelled(ROWS, seed), weights)


@pytest.mark.parametrize("option", ["ignore_index", "label_smoothing", "weights"])
@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_a_module_without_class_weights_refuses_them_by_name(case: Case, option: str, seed: int):
    """Where it is made and where it is called; any other name is Python's to refuse."""
    name = case.name.partition("-")[0]
    says = f"{option}: expected nothing: .* losses over class weights, and {name} has none; got 1"
    with pytest.raises(InputError, match=says):
        case.make(**{option: 1})
    module, arguments = case.make(), case.arguments(ROWS, seed)
    with pytest.raises(InputError, match=says):
        module(*arguments, **{option: 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        module(*arguments, other=1)


@pytest.mark.parametrize("option", ["ignore_index", "label_smoothing", "weights"])
@pytest.mark.parametrize("name", sorted(catalogue.public("functional")))
def test_a_function_takes_them_or_refuses_them_by_name(name: str, option: str):
    function = getattr(marginbench.functional, name)
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        function(other=1)
    if "class_weights" in inspect.signature(function).parameters:
        assert option in inspect.signature(function).parameters
        return
    says = f"{option}: expected nothing: .* losses over class weights, and {name} has none; got 0"
    with pytest.raises(InputError, match=says):
        function(**{option: 0})


def test_a_subclass_may_take_what_its_base_refuses(seed: int):
    class Weighted(marginbench.TripletLoss):
        def forward(self, embeddings, labels, weights):
            return (super().forward(embeddings, labels) * weights).sum()

    x_BD, y_B = labelled(ROWS, seed)
    module = Weighted(reduction="none")
    assert module(x_BD, y_B, weights=torch.zeros(ROWS)) == 0
    with pytest.raises(InputError, match=r"ignore_index: expected nothing: .* Weighted has none"):
        module(x_BD, y_B, ignore_index=0)


@every_head
def test_topk_and_predict_are_those_of_all_logits(case: Case, seed: int, monkeypatch):
    monkeypatch.setattr("marginbench.shared.head_options._LOGITS_OF_A_CHUNK", 3 * ROWS)
    x_BD, _ = labelled(ROWS, seed)
    module = case.make()
    values, classes = module.topk(x_BD, 4)
    wanted = module.logits(x_BD).topk(4, dim=1)
    assert torch.allclose(values, wanted.values, rtol=1e-6, atol=1e-6)
    assert torch.equal(classes, wanted.indices)
    assert torch.equal(module.predict(x_BD), classes[:, 0])
    assert torch.equal(module.topk(x_BD, CLASSES)[1].sort(dim=1).values[0], torch.arange(CLASSES))
    with pytest.raises(InputError, match="k: expected a whole number from 1 to 7"):
        module.topk(x_BD, CLASSES + 1)


@pytest.mark.parametrize(
    ("name", "transposed"),
    [("W", True), ("kernel", True), ("weight", False), ("fc.weight", False)],
)
def test_class_weights_of_other_libraries(name: str, transposed: bool, seed: int):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(CLASSES, DIM, generator=generator)
    state = {name: weights.T.contiguous() if transposed else weights}
    module = marginbench.ASoftmaxLoss.from_state_dict(state, m=2)
    assert torch.equal(module.class_weights, weights) and module.m == 2


def test_pytorch_metric_learnings_own_state_dict(seed: int):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    theirs = losses.NormalizedSoftmaxLoss(CLASSES, DIM, temperature=1)
    ours = marginbench.ASoftmaxLoss.from_state_dict(theirs.state_dict(), m=1)
    x_BD, y_B = labelled(ROWS, seed)
    x_BD = F.normalize(x_BD, dim=1)
    assert torch.isclose(ours(x_BD, y_B), theirs(x_BD, y_B), rtol=1e-5)


def test_a_linear_layer_becomes_a_head(seed: int):
    layer = torch.nn.Linear(DIM, CLASSES)
    head = marginbench.SoftmaxLoss.from_state_dict(layer.state_dict())
    x_BD, y_B = labelled(ROWS, seed)
    assert torch.isclose(head(x_BD, y_B), F.cross_entropy(layer(x_BD), y_B), rtol=1e-5)
    with pytest.raises(InputError, match="state: expected no bias, for this head has none"):
        marginbench.ASoftmaxLoss.from_state_dict(layer.state_dict())
    with pytest.raises(InputError, match="state: expected one float matrix called one of"):
        marginbench.SoftmaxLoss.from_state_dict({"w": layer.weight})


@every_head
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_smoothing_keeps_the_dtype_of_the_loss(case: Case, dtype: torch.dtype, seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    for reduction in ("mean", "none"):
        module = case.make(dtype=dtype, label_smoothing=0.1, reduction=reduction)
        assert module(x_BD.to(dtype), y_B).dtype == torch.float32


@every_head
def test_logits_and_predictions_are_the_same_under_autocast(case: Case, seed: int):
    x_BD, _ = labelled(ROWS, seed)
    module = case.make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, (values, classes) = module.logits(x_BD), module.topk(x_BD, 3)
    assert torch.equal(logits, module.logits(x_BD))
    assert torch.equal(values, module.topk(x_BD, 3)[0])
    assert torch.equal(classes, module.topk(x_BD, 3)[1])


@pytest.mark.parametrize("length", [1e-25, 1e25])
def test_the_lengths_of_class_weights_do_not_matter(length: float, seed: int):
    x_BD, y_B = labelled(ROWS, seed)
    module = marginbench.ASoftmaxLoss(DIM, CLASSES, label_smoothing=0.1)
    logits, value = module.logits(x_BD), module(x_BD, y_B)
    with torch.no_grad():
        module.class_weights *= length
    eps = torch.finfo(torch.float32).eps
    assert torch.allclose(module.logits(x_BD), logits, rtol=0, atol=64 * eps * 8)
    assert torch.isclose(module(x_BD, y_B), value, rtol=1e-5)


@every_head
def test_a_wrong_option_is_named(case: Case, seed: int):
    says = r"ignore_index: expected a whole number, or None; got 1.5"
    with pytest.raises(InputError, match=says):
        case.make(ignore_index=1.5)
    module = case.make()
    module.ignore_index = 1.5  # as its function is given it
    with pytest.raises(InputError, match=says):
        module(*labelled(2, seed))
    module.ignore_index = -100
    with pytest.raises(InputError, match="labels: expected a tensor; got list"):
        module(labelled(2, seed)[0], [1, 2])
    with pytest.raises(InputError, match="embeddings: expected 16 columns as class_weights have"):
        module.logits(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"W": torch.zeros(2, 3), "weight": torch.zeros(3, 2)}, "state: expected one float matrix"),
        ({"weight": torch.zeros(3, 2, dtype=torch.int8)}, "state: expected one float matrix"),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(1)}, "expected a bias of 3 numbers"),
    ],
    ids=["two of them", "integers", "a bias of one"],
)
def test_a_wrong_state_is_named(state, says: str):
    with pytest.raises(InputError, match=says):
        marginbench.SoftmaxLoss.from_state_dict(state)


def test_our_own_state_is_taken_whole(seed: int):
    center = marginbench.CenterLoss(DIM, CLASSES)
    center.update(*labelled(ROWS, seed))
    assert torch.equal(
        marginbench.CenterLoss.from_state_dict(center.state_dict()).centers, center.centers
    )
    margin = marginbench.ASoftmaxLoss(DIM, CLASSES, annealing=marginbench.Annealing())
    margin.step(500)
    other = marginbench.ASoftmaxLoss.from_state_dict(
        margin.state_dict(), annealing=marginbench.Annealing()
    )
    assert other.annealing == margin.annealing
    plain = marginbench.SoftmaxLoss(DIM, CLASSES, bias=False)
    assert marginbench.SoftmaxLoss.from_state_dict(plain.state_dict()).bias is None
