"""Clock, memory and machine measure what they claim to; a contender that can't run says why."""

from __future__ import annotations

import dataclasses
import gc
import time

import pytest
import torch
from planted import SHAPE, candidate, softmax_subject, truths
from torch import Tensor

from benchmarks.instruments import clock, contenders, machine, memory
from benchmarks.instruments.rows import Outputs, explain, is_out_of_memory
from marginbench.loss import Contender, Shape

# The clock.


def test_wall_clock_splits_forward_from_backward():
    """Sleeping is the one work whose least duration is known; only lower bounds are asserted."""
    order: list[str] = []

    def forward() -> str:
        time.sleep(0.02)
        order.append("forward")
        return "value"

    def backward(value: str) -> None:
        time.sleep(0.05)
        order.append(value)

    sample, value = clock.WallClock().time(forward, backward)
    assert value == "value" and order == ["forward", "value"]
    assert sample.forward_s >= 0.02 and sample.backward_s >= 0.05
    assert sample.both_s == pytest.approx(sample.forward_s + sample.backward_s)


def test_wall_clock_without_a_backward_pass():
    sample, _ = clock.WallClock().time(lambda: 1, None)
    assert sample.backward_s is None and sample.both_s == sample.forward_s


def test_garbage_is_not_collected_while_timing():
    with clock.no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


# Memory.


def test_peak_is_exact_for_known_allocations():
    def call() -> Tensor:
        first = torch.empty(1000)
        second = torch.empty(5000)
        del first
        third = torch.empty(500, dtype=torch.float64)
        del second
        return third

    assert memory.peak(call, "cpu").figures["peak_bytes"] == 4 * (1000 + 5000)


def test_peak_counts_temporaries_inside_operators_and_not_the_inputs():
    x = torch.randn(256, 256)
    # logsumexp needs a matrix of exponentials of its own beside its result.
    found = memory.peak(lambda: x.logsumexp(dim=1), "cpu").figures["peak_bytes"]
    assert 4 * 256 * 256 <= found <= 4 * 256 * 256 + 16 * 256 * 8


def test_peak_of_a_loss_repeats_bit_for_bit(seed: int):
    subject = softmax_subject(shape=Shape(64, 16, 257))
    truth = truths(subject, seed, 1)[0]
    eager = candidate(subject, "eager").function

    def call() -> Outputs:
        return subject.evaluate(eager, truth.inputs, "mean", truth.upstream)

    call()
    found = {memory.peak(call, "cpu").figures["peak_bytes"] for _ in range(4)}
    assert len(found) == 1
    # Logits, their log-softmax and its gradient, all B x C, are alive at once.
    assert found.pop() >= 3 * 4 * 64 * 257


def test_out_of_memory_is_reported_as_such():
    with memory.protected(), pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.int8)
    assert is_out_of_memory(caught.value)
    assert explain(caught.value).startswith("out of memory: ")


def test_what_the_machine_has_no_room_for_raises():
    """The pages are never touched: without the limit this would succeed, and using it would not."""
    size = int(0.9 * machine.available_memory())
    with memory.protected(), pytest.raises(RuntimeError, match="allocate memory"):
        torch.empty(size, dtype=torch.int8)


# Who runs, and who does not.


def test_why_a_contender_does_not_run():
    def reason(**fields) -> str:
        contender = dataclasses.replace(Contender("x", "eager:x"), **fields)
        return contenders.unavailable(contender, SHAPE, "float32", "cpu", compile=False)

    assert reason() == ""
    assert "needs the package nowhere" in reason(needs=("package:nowhere",))
    assert reason(needs=("cuda",)).startswith("needs CUDA")
    assert "float32" in reason(dtypes=("float64",))
    assert "does not run on cpu" in reason(devices=("cuda",))
    assert reason(limit=lambda shape, dtype: f"too large: {shape}") == f"too large: {SHAPE}"
    assert "afford" in reason(compiled=True)


def test_an_older_gpu_is_distinguished_from_a_newer_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_missing_cuda", lambda: None)
    monkeypatch.setattr(torch.version, "hip", None)
    need = machine.missing.__wrapped__  # what is remembered is this machine's answer
    for capability, expected in (((8, 6), "this GPU has 8.6"), ((9, 0), ""), ((10, 0), "")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda c=capability: c)
        assert expected in (need("hopper") or "") and bool(need("hopper")) == bool(expected)


def test_eager_comes_first_and_stays(seed: int):
    subject = softmax_subject()
    every = [c.name for c in contenders.candidates(subject, compile=False)]
    assert every[0] == "eager" and "reference" not in every
    some = [c.name for c in contenders.candidates(subject, compile=False, only=["triton"])]
    assert some == ["eager", "triton"]


def test_an_unknown_need_is_refused():
    with pytest.raises(ValueError, match="need: expected"):
        machine.missing("luck")


def test_identity_repeats_and_holds_no_load():
    assert machine.identity() == machine.identity()
    assert set(machine.identity()["versions"]) == {"python", "torch", "triton", "numpy"}
    assert not set(machine.identity()) & set(machine.information())
    assert machine.identity()["cores"] >= 1 and machine.available_memory() > 0
