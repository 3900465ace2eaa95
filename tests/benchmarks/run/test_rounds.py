"""Interleaved rounds: the order, the inputs, and who cheats in the timed loop is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from planted import (
    FakeClock,
    candidate,
    changes_it_behind_torch,
    changes_its_input,
    eager_softmax,
    mining_subject,
    not_finite,
    run_rounds,
    scaled,
    softmax_subject,
    truths,
)
from torch import Tensor

from benchmarks.instruments import clock
from benchmarks.run.rounds import POOL, Interleaved, Rounds


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recording(name: str, calls: list[str]) -> Callable:
    def function(**arguments) -> Tensor:
        calls.append(name)
        return eager_softmax(**arguments)

    return function


def test_every_round_has_each_contender_once_in_an_order_of_its_own(seed: int):
    subject, calls = softmax_subject(), []
    names = ("eager", "b", "c")
    found = [candidate(subject, name, recording(name, calls)) for name in names]
    timed = run_rounds(subject, found, seed, Rounds(100.0, 40, 40, 2))
    # The checks afterwards call eager's own function, not these.
    orders = [tuple(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(orders) == 42
    assert all(sorted(order) == sorted(names) for order in orders)
    assert len(set(orders)) > 1
    again: list[str] = []
    run_rounds(subject, [candidate(subject, n, recording(n, again)) for n in names], seed,
               Rounds(100.0, 40, 40, 2))  # fmt: skip
    assert again == calls
    assert {len(t.samples) for t in timed.values()} == {40}
    assert timed["eager"].samples[0] == clock.Sample(1.0, 2.0, 3.0)
    assert timed["eager"].protocol["checked_calls"] == 3
    assert timed["eager"].protocol["warmup_rounds"] == 2


def test_inputs_change_from_round_to_round_at_the_same_address(seed: int):
    subject, seen = softmax_subject(), []

    def function(embeddings: Tensor, **arguments) -> Tensor:
        seen.append((embeddings.data_ptr(), float(embeddings.detach()[0, 0])))
        return eager_softmax(embeddings=embeddings, **arguments)

    run_rounds(subject, [candidate(subject, "eager", function)], seed)
    assert len({address for address, _ in seen}) == 1
    assert len({value for _, value in seen}) == 3


def stale(after: int) -> Callable:
    """Right at first, then the first result again and again, with its gradients."""
    calls = 0
    kept: dict[str, Tensor] = {}

    def function(**arguments) -> Tensor:
        nonlocal calls
        calls += 1
        if calls <= after:
            return eager_softmax(**arguments)
        if not kept:
            leaves = {k: arguments[k].detach().clone().requires_grad_()
                      for k in ("embeddings", "class_weights", "bias")}  # fmt: skip
            value = eager_softmax(**{**arguments, **leaves})
            kept.update(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))
            kept["value"] = value.detach()
        return Remembered.apply(
            kept["value"], *(kept[k] for k in ("embeddings", "class_weights", "bias")),
            arguments["embeddings"], arguments["class_weights"], arguments["bias"],
        )  # fmt: skip

    return function


class Remembered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, dx, dw, db, x, w, b):
        ctx.kept = dx, dw, db
        return value.clone()

    @staticmethod
    def backward(ctx, upstream):
        return (None, None, None, None, *(upstream * grad for grad in ctx.kept))


def skips_backward(**arguments) -> Tensor:
    """The value is right; the gradient of the class weights is left out."""
    return eager_softmax(**{**arguments, "class_weights": arguments["class_weights"].detach()})


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        (stale(after=1), "wrong result: value"),
        (skips_backward, "wrong result: grad:class_weights"),
        (scaled, "wrong result: value"),
        (not_finite, "wrong result: value"),
        (changes_its_input, "changed its inputs"),
        (changes_it_behind_torch, "changed its inputs"),
    ],
)
def test_who_cheats_in_the_timed_loop_is_voided_alone(planted: Callable, says: str, seed: int):
    subject = softmax_subject()
    found = [candidate(subject, "eager"), candidate(subject, "planted", planted),
             candidate(subject, "honest")]  # fmt: skip
    timed = run_rounds(subject, found, seed)
    assert timed["planted"].status == "worse" and says in timed["planted"].problem
    assert not timed["eager"].problem and not timed["honest"].problem
    assert len(timed["honest"].samples) == 8


@pytest.mark.parametrize("which", range(POOL))
def test_who_is_wrong_with_one_of_the_inputs_alone_is_found_whatever_is_drawn(
    which: int, seed: int
):
    subject = softmax_subject()
    first = float(truths(subject, seed)[which].inputs.tensors["embeddings"][0, 0])

    def function(embeddings: Tensor, **arguments) -> Tensor:
        wrong = 1.01 if float(embeddings.detach()[0, 0]) == first else 1.0
        return eager_softmax(embeddings=embeddings, **arguments) * wrong

    for drawn in range(8):
        found = [candidate(subject, "eager"), candidate(subject, "planted", function)]
        loop = Interleaved(
            subject, found, truths(subject, seed), Rounds(100.0, 8, 8, 1), FakeClock(), drawn
        )
        assert "wrong result: value" in loop.run()[1].problem, drawn


def test_who_raises_in_the_timed_loop_takes_its_own_cells(seed: int):
    subject, calls = softmax_subject(), []

    def fails_later(**arguments) -> Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("planted")
        return eager_softmax(**arguments)

    timed = run_rounds(
        subject, [candidate(subject, "eager"), candidate(subject, "planted", fails_later)], seed
    )
    assert (timed["planted"].status, timed["planted"].problem) == (
        "not_run", "RuntimeError: planted"
    )  # fmt: skip
    assert len(calls) == 4 and len(timed["eager"].samples) == 8


def test_gradients_are_none_before_each_call(seed: int):
    subject, seen = softmax_subject(), []

    def function(embeddings: Tensor, **arguments) -> Tensor:
        seen.append(embeddings.grad)
        return eager_softmax(embeddings=embeddings, **arguments)

    run_rounds(subject, [candidate(subject, "eager", function)], seed)
    assert seen and all(grad is None for grad in seen)


def test_rounds_stop_at_the_seconds_but_not_below_the_fewest(seed: int):
    subject = softmax_subject()
    timed = run_rounds(subject, [candidate(subject, "eager")], seed, Rounds(0.0, 5, 50, 0),
                       clock.WallClock())  # fmt: skip
    assert len(timed["eager"].samples) == 5
    timed = run_rounds(subject, [candidate(subject, "eager")], seed, Rounds(1e9, 5, 7, 0))
    assert len(timed["eager"].samples) == 7


def test_who_is_far_too_slow_gets_fewer_rounds_and_says_so(seed: int):
    """The fake clock says 3 s a call: ten times 0.9 s are three calls, not the five asked for."""
    subject = softmax_subject()
    timed = run_rounds(subject, [candidate(subject, "eager")], seed, Rounds(0.9, 5, 5, 1))
    assert len(timed["eager"].samples) == 3
    assert timed["eager"].protocol["fewer_rounds"].startswith("3 instead of at least 5")


def test_a_mining_rule_is_timed_forward_alone_and_checked(seed: int):
    subject = mining_subject()
    rule = candidate(subject, "eager").function

    def wrong(**arguments) -> tuple[Tensor, ...]:
        return tuple(index.roll(1) for index in rule(**arguments))

    found = [candidate(subject, "eager"), candidate(subject, "planted", wrong)]
    timed = run_rounds(subject, found, seed)
    assert timed["eager"].samples[0].backward_s is None and not timed["eager"].problem
    assert timed["planted"].status == "worse"
