"""Times of CUDA graphs without CUDA: the replayed loop, with something else to capture by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from planted import FakeClock, candidate, eager_softmax, softmax_subject, truths

from benchmarks.gpu import timing
from benchmarks.gpu.timing import Captured, Replayed
from benchmarks.run.rounds import Rounds, Timed


def copied(forward: Callable, backward: Callable) -> Captured:
    """As a graph: what is replayed writes to the tensors that the capture made."""
    value = forward()
    grads = backward(value)
    held = value.detach().clone()
    latest = [value]

    def replay_forward() -> None:
        latest[0] = forward()
        held.copy_(latest[0].detach())

    def replay_backward() -> None:
        for name, grad in backward(latest[0]).items():
            grads[name].copy_(grad)

    return Captured(replay_forward, replay_backward, held, grads)


def replayed(
    seed: int, capture: Callable, *functions: Callable, clock: object = None
) -> dict[str, Timed]:
    subject = softmax_subject()
    found = [candidate(subject, name, function)
             for name, function in zip(("eager", "b"), functions, strict=False)]  # fmt: skip
    rounds = Rounds(100.0, 8, 8, 1)
    loop = Replayed(subject, found, truths(subject, seed), rounds, clock or FakeClock(), seed,
                    capture=capture)  # fmt: skip
    return {timed.candidate.name: timed for timed in loop.run()}


def test_each_contender_is_captured_once_replayed_on_fresh_inputs_and_checked(seed: int):
    captured = []

    def capture(forward: Callable, backward: Callable) -> Captured:
        captured.append(forward)
        return copied(forward, backward)

    timed = replayed(seed, capture, eager_softmax, eager_softmax)
    assert len(captured) == 2
    for one in timed.values():
        assert (one.problem, len(one.samples), one.protocol["checked_calls"]) == ("", 8, 3)


def test_a_graph_whose_replay_writes_nothing_is_voided(seed: int):
    def capture(forward: Callable, backward: Callable) -> Captured:
        value = forward()
        return Captured(lambda: None, lambda: None, torch.zeros_like(value), backward(value))

    timed = replayed(seed, capture, eager_softmax)
    assert timed["eager"].status == "worse"
    assert "wrong result" in timed["eager"].problem


def test_what_can_not_be_captured_takes_only_its_own_cell(seed: int):
    def synchronises(**arguments) -> torch.Tensor:
        raise RuntimeError("operation not permitted when stream is capturing")

    timed = replayed(seed, copied, eager_softmax, synchronises)
    assert timed["eager"].problem == "" and len(timed["eager"].samples) == 8
    assert timed["b"].status == "not_run"
    assert timed["b"].problem.startswith("no CUDA graph of it: ")


def test_a_warm_clock_says_so_and_flushes_nothing(monkeypatch):
    flushed = []

    class Event:
        def record(self) -> None: ...

        def elapsed_time(self, other: object) -> float:
            return 2.0

    warm = timing.WarmClock.__new__(timing.WarmClock)
    warm._flush, warm._events = torch.ones(4), [Event() for _ in range(3)]
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: flushed.append(warm._flush.numel()))
    sample, value = warm.time(lambda: 5, None)
    assert (value, sample.forward_s, flushed) == (5, 0.002, [0, 0])
    assert warm._flush.sum() == 4  # given back as it was
    assert warm.protocol["cache"].startswith("warm")
