"""What the Triton losses over pairs and triplets do beside computing: layouts, NaN, graphs,
operators, bad input.

Every launch is watched for lanes out of bounds (`bounds`).
"""

from __future__ import annotations

import bounds
import pytest
import torch
from fused_pairs import (
    BATCHES,
    LOSSES,
    MINING,
    REPRESENTATIVES,
    ROWS,
    draw,
    floats,
    function,
    use_small_tiles,
)
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from marginbench.checks import InputError
from marginbench.contrastive import fused_all_pairs, fused_pairs
from marginbench.triplet import fused_all, fused_explicit, fused_hard, fused_semi_hard
from marginbench.triplet.fused_groups import groups_of

SIZE = (17, 19, 5)


@pytest.fixture(autouse=True)
def _inside_the_tensors():
    with bounds.watched():
        yield


@pytest.fixture(autouse=True)
def _many_tiles(monkeypatch):
    use_small_tiles(monkeypatch)


def _layouts(tensor: Tensor) -> dict[str, Tensor]:
    """The same numbers, laid out in other ways."""
    every_second = torch.stack((tensor, tensor), dim=1)[:, 0]
    if tensor.ndim == 1:
        return {"every second": every_second}
    padded = torch.nn.functional.pad(tensor, (1, 2), value=float("nan"))
    return {
        "transposed": tensor.t().contiguous().t(),
        "columns of a wider matrix": padded[:, 1:-2],
        "every second row": every_second,
    }


def _gradients(name: str, tensors: dict[str, Tensor]) -> list[Tensor]:
    leaves = {k: t.detach().requires_grad_(k in floats(tensors)) for k, t in tensors.items()}
    terms = function(name, "triton")(**leaves, reduction="none")
    weights = torch.linspace(-1, 2, len(terms), device=terms.device)
    grads = torch.autograd.grad((terms * weights).sum(), [leaves[k] for k in floats(tensors)])
    return [terms.detach(), *grads]


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_any_layout_gives_the_same_bits(name: str, device: str, seed: int):
    tensors = draw(name, SIZE, "bfloat16", device, seed)
    plain = _gradients(name, tensors)
    for argument, tensor in tensors.items():
        for layout, other in _layouts(tensor).items():
            assert torch.equal(other, tensor)
            again = _gradients(name, {**tensors, argument: other})
            for got, want in zip(again, plain, strict=True):
                assert torch.equal(got, want), f"{argument} {layout}"


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_inputs_are_unchanged_and_results_repeat(name: str, device: str, seed: int):
    """Nothing changed in place (the upstream gradient neither), the same bits again, no_grad,
    retain_graph, checkpointing, two uses in one graph, a gradient of the same dtype."""
    tensors = draw(name, SIZE, "float32", device, seed)
    leaves = {k: t.requires_grad_(k in floats(tensors)) for k, t in tensors.items()}
    before = {k: t.detach().clone() for k, t in leaves.items()}
    inputs = [leaves[k] for k in floats(tensors)]

    def run(*_):
        return function(name, "triton")(**leaves, reduction="none")

    terms = run()
    weights = torch.linspace(-1, 2, len(terms), device=device)
    # Handed on as it is, the upstream gradient could be written into.
    upstream = weights.clone()
    first = torch.autograd.grad(terms, inputs, upstream, retain_graph=True)
    assert torch.equal(upstream, weights)
    again = torch.autograd.grad((terms * weights).sum(), inputs)
    twice = torch.autograd.grad((run() * weights).sum() + (run() * weights).sum(), inputs)
    kept = checkpoint(run, *inputs, use_reentrant=False)
    remade = torch.autograd.grad((kept * weights).sum(), inputs)
    with torch.no_grad():
        assert torch.equal(run(), terms) and not run().requires_grad
    for a, b, c, d in zip(first, again, twice, remade, strict=True):
        assert torch.equal(a, b) and torch.equal(a, d) and torch.equal(2 * a, c)
    for key, old in before.items():
        assert torch.equal(leaves[key].detach(), old), f"{key} was changed"


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_a_second_derivative_is_refused(name: str, device: str, seed: int):
    tensors = draw(name, SIZE, "float32", device, seed)
    leaves = {k: t.requires_grad_(k in floats(tensors)) for k, t in tensors.items()}
    value = function(name, "triton")(**leaves)
    first = leaves[floats(tensors)[0]]
    with pytest.raises(RuntimeError):
        (gradient,) = torch.autograd.grad(value, first, create_graph=True)
        torch.autograd.grad(gradient.square().sum(), first)


def _operators(device: str, seed: int) -> dict[str, list[tuple]]:
    """Each operator with arguments, as a GPU gets them from below the checks."""
    batch = draw("triplet/batch-hard", (9, 5, 3), "float32", device, seed)
    x, y = batch["embeddings"].requires_grad_(), batch["labels"]
    a, p, n = (x.detach().roll(k, 0).requires_grad_() for k in range(3))
    plain, up = x.detach(), torch.rand(9, device=device)
    different = y > 0
    _, slopes = fused_pairs.pair_terms(plain, n.detach(), different, 1.0)
    hard = fused_hard.hard_terms(plain, y, 0.2)
    counts = fused_all.all_terms(plain, y, 0.2, False, True)[2]
    return {
        "contrastive/pairs": [
            (fused_pairs.pair_terms, (a, n, different, 1.0)),
            (fused_pairs.pair_gradients, (plain, n.detach(), slopes, up)),
        ],
        "contrastive/all-pairs": [
            (fused_all_pairs.all_pairs_terms, (x, y, 1.0)),
            (fused_all_pairs.all_pairs_gradient, (plain, y, up, 1.0)),
        ],
        "triplet/explicit": [
            (fused_explicit.explicit_terms, (a, p, n, 0.2)),
            (fused_explicit.explicit_gradients, (plain, p.detach(), n.detach(), up, up)),
        ],
        "triplet/batch-hard": [
            (fused_hard.hard_terms, (x, y, 0.2)),
            (fused_hard.hard_gradient, (plain, *hard, up)),
        ],
        "triplet/semi-hard": [
            (fused_semi_hard.semi_hard_terms, (x, y, 0.2)),
            (fused_semi_hard.semi_hard_negatives, (plain, y, int(groups_of(y).pairs.sum()))),
            (fused_semi_hard.semi_hard_gradient, (plain, y, up, 0.2)),
        ],
        "triplet/batch-all": [
            (fused_all.all_terms, (x, y, 0.2, False, True)),
            (fused_all.all_terms, (plain, y, 0.2, False, False)),
            (fused_all.all_gradient, (plain, counts, up)),
        ],
        "triplet/semi-hard-all": [(fused_all.all_terms, (x, y, 0.2, True, True))],
    }


@pytest.mark.parametrize("name", [*ROWS, *BATCHES])
def test_opcheck(name: str, device: str, seed: int):
    for operator, arguments in _operators(device, seed)[name]:
        results = torch.library.opcheck(operator, arguments)
        assert set(results.values()) == {"SUCCESS"}, results


@pytest.mark.parametrize("name", [*ROWS, *BATCHES])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_nan_goes_in_and_comes_out(name: str, device: str, seed: int):
    """Wherever it is, even in a sample that no anchor would choose; into value and gradient."""
    operator, (first, *rest) = _operators(device, seed)[name][0]
    rest = [t.detach() if isinstance(t, Tensor) else t for t in rest]
    for bad in (float("nan"), float("inf")):
        spoilt = first.detach().clone()
        spoilt[3, 2] = bad
        out = operator(spoilt.requires_grad_(), *rest)
        terms = out if isinstance(out, Tensor) else out[0]
        (gradient,) = torch.autograd.grad(terms.sum(), spoilt)
        if bad != bad:
            assert terms.sum().isnan() and gradient.sum().isnan()


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_nan_spoils_every_row_of_the_semi_hard_gradient(device: str, seed: int):
    """Each may have been mined otherwise: as the terms say."""
    x = draw("triplet/semi-hard", (9, 5, 3), "float32", device, seed)["embeddings"].clone()
    x[3, 2] = float("nan")
    labels, upstream = torch.arange(9, device=device) % 3, torch.ones(9, device=device)
    assert fused_semi_hard.semi_hard_gradient(x, labels, upstream, 0.2).isnan().all()


@pytest.mark.parametrize("name", [*ROWS, *BATCHES])
def test_only_the_terms_take_a_gradient(name: str, device: str, seed: int):
    operator, arguments = _operators(device, seed)[name][0]
    out = operator(*arguments)
    terms, *others = (out,) if isinstance(out, Tensor) else out
    assert terms.requires_grad and not any(other.requires_grad for other in others)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_compiles_without_a_graph_break(name: str, device: str, seed: int):
    tensors = draw(name, SIZE, "float32", device, seed)
    leaves = [tensors[of].requires_grad_() for of in floats(tensors)]
    plain = function(name, "triton")
    compiled = torch.compile(plain, fullgraph=True, backend="aot_eager")
    grads = []
    for call in (plain, compiled):
        value = call(**tensors, reduction="mean")
        grads.append([value.detach(), *torch.autograd.grad(value, leaves)])
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_autocast_changes_nothing(name: str, device: str, seed: int):
    tensors = draw(name, SIZE, "float32", device, seed)
    leaves = [tensors[of].requires_grad_() for of in floats(tensors)]
    outcomes = []
    for enabled in (False, True):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            value = function(name, "triton")(**tensors, reduction="sum")
        outcomes.append([value, *torch.autograd.grad(value, leaves)])
    for plain, cast in zip(*outcomes, strict=True):
        assert cast.dtype == torch.float32 and torch.equal(plain, cast)


@pytest.mark.parametrize("name", [*LOSSES, *MINING])
def test_float64_is_refused_by_name(name: str, device: str, seed: int):
    tensors = draw(name, (5, 3, 2), "float64", device, seed)
    with pytest.raises(InputError, match=f"{floats(tensors)[0]}: expected dtype float32"):
        function(name, "triton")(**tensors)


@pytest.mark.parametrize("name", LOSSES)
def test_a_negative_margin_is_named(name: str, device: str, seed: int):
    tensors = draw(name, (5, 3, 2), "float32", device, seed)
    with pytest.raises(InputError, match="margin: expected a finite number >= 0"):
        function(name, "triton")(**tensors, margin=-0.1)


def test_an_unknown_divisor_is_named(device: str, seed: int):
    tensors = draw("triplet/batch-all", (5, 3, 2), "float32", device, seed)
    with pytest.raises(InputError, match="divisor: expected one of valid, active"):
        function("triplet/batch-all", "triton")(**tensors, divisor="all")


def test_without_a_gradient_batch_all_keeps_no_counts(device: str, seed: int):
    batch = draw("triplet/batch-all", (9, 5, 3), "float32", device, seed)
    counts = fused_all.all_terms(batch["embeddings"], batch["labels"], 0.2, False, False)[2]
    assert counts.numel() == 0
