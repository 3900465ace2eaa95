"""What people expect of every module that the library offers."""

from __future__ import annotations

import contextlib
import io

import pytest
import torch
from library_cases import CASES, CLASSES, DIM, HEADS, ROWS, Case, leaf, value_and_gradients
from torch.utils.checkpoint import checkpoint

from marginbench import InputError, implementations

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_head = pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)
EPS = torch.finfo(torch.float32).eps


@every
def test_a_state_dict_is_loaded_strictly_and_gives_the_same_bits(case: Case, seed: int):
    module, other = case.make(), case.make()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # not as a new one starts: biases and centers too; no scale below 0
        for one in (*module.parameters(), *module.buffers()):
            one.normal_(generator=generator).abs_()
    kept = io.BytesIO()
    torch.save(module.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True), strict=True)
    arguments = case.arguments(ROWS, seed)
    assert torch.equal(module(*arguments), other(*arguments))


@every
def test_a_batch_of_any_size_will_do(case: Case, seed: int):
    """Also the last of an epoch: one row, where no pair and no triplet is."""
    module = case.make()
    for rows in (1, 2, 3, 17):
        value, gradients = value_and_gradients(module, *case.arguments(rows, seed))
        assert torch.isfinite(value)
        assert all(torch.isfinite(one).all() for one in gradients)


@every
def test_a_gradient_a_row_is_passed_on_and_sum_is_that_of_ones(case: Case, seed: int):
    first, *rest = case.arguments(ROWS, seed)
    module = case.make(reduction="none")
    x = leaf(first)
    upstream = torch.rand(ROWS, generator=torch.Generator().manual_seed(seed)) + 0.5

    def gradient(upstream_B: torch.Tensor | None, **attributes: str) -> torch.Tensor:
        vars(module).update(attributes)
        return torch.autograd.grad(module(x, *rest), x, upstream_B)[0]

    terms = module(x, *rest).detach()
    assert terms.shape == (ROWS,)
    by_row, by_ones = gradient(upstream), gradient(torch.ones(ROWS))
    wanted = gradient(upstream.double(), implementation="reference")
    assert torch.allclose(by_row, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    by_sum = gradient(None, implementation="auto", reduction="sum")
    # Each product may be rounded once more.
    assert torch.allclose(by_ones, by_sum, rtol=0, atol=64 * EPS * float(by_sum.abs().max()))
    total = module(first, *rest)
    assert abs(total.double() - terms.double().sum()) <= ROWS * EPS * terms.abs().sum()


@every
def test_int32_labels_are_int64_labels(case: Case, seed: int):
    first, *rest = case.arguments(ROWS, seed)
    if rest[-1].dtype != torch.int64:
        pytest.skip("takes no labels")
    module = case.make()
    assert torch.equal(module(first, rest[-1].int()), module(first, rest[-1]))


@every
def test_the_same_bits_twice(case: Case, seed: int):
    module, arguments = case.make(), case.arguments(257, seed)
    first, second = (value_and_gradients(module, *arguments) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


@every
def test_checkpointing_gives_the_same_bits(case: Case, seed: int):
    """The forward pass runs twice: nothing that it does may count twice."""
    module = case.make()
    first, *rest = case.arguments(ROWS, seed)
    _, wanted = value_and_gradients(module, first, *rest)
    before = {name: one.clone() for name, one in module.named_buffers()}
    x = leaf(first)
    checkpoint(module, x, *rest, use_reentrant=False).backward()
    got = [x.grad, *(one.grad for one in module.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))
    assert all(torch.equal(one, before[name]) for name, one in module.named_buffers())


@every
def test_autocast_keeps_the_loss_and_its_weights_in_float32(case: Case, seed: int):
    module = case.make()
    first, *rest = case.arguments(ROWS, seed)
    x = leaf(first)
    network = torch.nn.Linear(DIM, DIM, bias=False)

    def value_of():
        return module(network(x), *(network(t) if t.is_floating_point() else t for t in rest))

    exact = value_of()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = value_of()
    value.backward()
    assert value.dtype == torch.float32 and x.grad.dtype == torch.float32
    assert all(one.grad is None or one.grad.dtype == torch.float32 for one in module.parameters())
    # bfloat16 has 8 bits; a loss is made of D products of rounded factors, and a margin of m = 4
    # passes a rounding of the cosine on 16 times.
    assert torch.isclose(value, exact, rtol=16 * 2**-8, atol=16 * 2**-8)


@every
def test_compiles_whole(case: Case, seed: int):
    module = case.make()
    arguments = case.arguments(ROWS, seed)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    wanted, expected = value_and_gradients(module, *arguments)
    x = leaf(arguments[0])
    value = compiled(x, *arguments[1:])
    value.backward()
    assert torch.isclose(value.detach(), wanted, rtol=32 * EPS, atol=32 * EPS)
    largest = float(expected[0].abs().max())
    assert (x.grad - expected[0]).abs().max() <= 256 * EPS * max(largest, 1 / ROWS)


@every_head
def test_class_weights_are_a_group_of_the_optimiser(case: Case, seed: int):
    """Its own learning rate and decay; a second group moves only the network."""
    module = case.make()
    first, *rest = case.arguments(ROWS, seed)
    network = torch.nn.Linear(DIM, DIM)
    optimizer = torch.optim.SGD(
        [{"params": network.parameters(), "lr": 0.0}, {"params": module.parameters(), "lr": 0.1}]
    )
    before = module.class_weights.detach().clone()
    kept = network.weight.detach().clone()
    module(network(first), *rest).backward()
    optimizer.step()
    assert torch.equal(network.weight, kept)
    moved = before - 0.1 * module.class_weights.grad
    assert torch.allclose(module.class_weights, moved, rtol=0, atol=4 * EPS)
    assert not torch.equal(module.class_weights, before)


@every_head
def test_a_label_out_of_range_is_named(case: Case, seed: int):
    module = case.make()
    first, labels = case.arguments(ROWS, seed)
    for wrong in (-1, CLASSES):
        bad = labels.clone()
        bad[3] = wrong
        with pytest.raises(InputError, match=rf"labels: expected every label in \[0, {CLASSES}\)"):
            module(first, bad)


@every_head
def test_a_label_out_of_range_never_counts_for_nothing(case: Case, seed: int):
    """Where values are not read, as under compile: PyTorch's own cross_entropy drops -100."""
    first, labels = case.arguments(ROWS, seed)
    bad = labels.clone()
    bad[3] = -100
    torch._dynamo.reset()
    compiled = torch.compile(case.make(), fullgraph=True, backend="aot_eager")
    with contextlib.suppress(IndexError, RuntimeError):
        assert not torch.isfinite(compiled(first, bad))


@every
def test_no_step_waits_for_a_gpu(case: Case, seed: int, monkeypatch):
    """Tensors without data stand in for a GPU's: whatever looked at a value would raise."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    monkeypatch.setattr(implementations, "WITHOUT_DATA", "")
    arguments = [one.to("meta") for one in case.arguments(ROWS, seed)]
    options = {"ignore_index": 1, "label_smoothing": 0.1} if case.is_head else {}
    module = case.make(**options).to("meta")
    x = arguments[0].requires_grad_()
    module(x, *arguments[1:]).backward()
    assert x.grad.shape == x.shape
    with pytest.raises(RuntimeError, match="meta"):
        float(x.detach().sum())  # so it would


@every
def test_tensors_without_data_are_refused_by_name(case: Case, seed: int):
    arguments = [one.to("meta") for one in case.arguments(ROWS, seed)]
    for implementation in ("auto", "eager", "reference"):
        module = case.make(implementation=implementation).to("meta")
        with pytest.raises(InputError, match=r"expected a tensor with data; got one on meta$"):
            module(*arguments)


@every
def test_what_is_wrong_is_named(case: Case):
    with pytest.raises(InputError, match=r"reduction: expected one of none, sum, mean; got 'avg'"):
        case.make(reduction="avg")
    with pytest.raises(InputError, match=r"implementation: expected one of auto, .*'cuda'"):
        case.make(implementation="cuda")


@every
def test_repr_says_how_it_was_made(case: Case):
    text = repr(case.make(reduction="sum", implementation="eager"))
    assert "reduction='sum'" in text and "implementation='eager'" in text


@every
def test_implementations_agree(case: Case, seed: int):
    """Whichever is given: the reference's value and gradients, to some hundred roundings."""
    module, arguments = case.make(implementation="reference"), case.arguments(ROWS, seed)
    value, gradients = value_and_gradients(module, *arguments)
    for name in type(module).offered:
        if name == "triton" and not torch.cuda.is_available():
            continue  # its agreement is tested where kernels are, in the interpreter
        module.implementation = name
        got, found = value_and_gradients(module, *arguments)
        # A hinge is the difference of squared distances up to 100, of a dozen roundings each.
        assert torch.isclose(got.double(), value.double(), rtol=1e-5, atol=100 * EPS)
        for one, wanted in zip(found, gradients, strict=True):
            assert torch.allclose(one, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max())), name
