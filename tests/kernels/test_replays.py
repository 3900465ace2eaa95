"""How replays are timed, on a stand-in for a GPU: a clock that the calls and replays move."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch
import triton

from marginbench.shared import launching, replays

# What the stand-in's work takes: of a call most is the host's part.
CALL_S, KERNELS_S = 0.5, 0.002


class Gpu:
    """What `replays` uses of torch.cuda. ``log`` says what happened, in order."""

    def __init__(self) -> None:
        self.s, self.log = 0.0, list[str]()
        self.stream, self.capturing = "the caller's", False

    def call(self) -> None:
        self.log.append("captured" if self.capturing else "called")
        self.s += 0.0 if self.capturing else CALL_S

    @contextlib.contextmanager
    def graph(self, graph: object, *, stream: str, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        self.stream, self.capturing = stream, True
        try:
            yield
            self.stream = "the caller's"  # as torch: not where the capture fails
        finally:
            self.capturing = False


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    found = Gpu()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = found.s

        def elapsed_time(self, end: Event) -> float:
            return (end.at - self.at) * 1e3

    class Graph:
        def replay(self) -> None:
            found.log.append("replayed")
            found.s += KERNELS_S

        def reset(self) -> None:
            found.log.append("released")

    stands_in: dict[str, Callable] = {
        "Event": Event, "CUDAGraph": Graph, "graph": found.graph, "Stream": lambda: "a side stream",
        "current_stream": lambda: found.stream,
        "set_stream": lambda stream: setattr(found, "stream", stream),
        "synchronize": lambda: None, "empty_cache": lambda: found.log.append("emptied"),
    }  # fmt: skip
    for name, one in stands_in.items():
        monkeypatch.setattr(torch.cuda, name, one)
    return found


def test_a_replay_is_timed_without_the_hosts_part_and_its_memory_given_back(gpu: Gpu):
    assert replays.replayed_s(gpu.call) == pytest.approx(KERNELS_S)
    before = gpu.log.index("captured")
    assert set(gpu.log[:before]) == {"called"}  # compiled outside the capture
    assert gpu.log.count("captured") == 1
    assert set(gpu.log[before + 1 : -2]) == {"replayed"}
    assert gpu.log[-2:] == ["released", "emptied"]
    assert gpu.stream == "the caller's"


def test_a_call_is_timed_with_it(gpu: Gpu):
    assert replays.called_s(gpu.call) == pytest.approx(CALL_S)
    assert set(gpu.log) == {"called"}


def test_what_can_not_be_captured_is_said_and_the_stream_is_the_callers_again(gpu: Gpu):
    def call() -> None:
        gpu.call()
        if gpu.capturing:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(replays.NotCaptured, match="RuntimeError: operation not permitted"):
        replays.replayed_s(call)
    assert "replayed" not in gpu.log
    assert gpu.stream == "the caller's"


def test_what_does_not_run_is_no_matter_of_capturing(gpu: Gpu):
    def call() -> None:
        raise ValueError("out of resource")

    with pytest.raises(ValueError, match="out of resource"):
        replays.replayed_s(call)


def test_memory_is_given_back_where_a_replay_fails(gpu: Gpu, monkeypatch: pytest.MonkeyPatch):
    def fails() -> None:
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr(torch.cuda, "synchronize", fails)
    with pytest.raises(RuntimeError, match="illegal"):
        replays.replayed_s(gpu.call)
    assert gpu.log[-2:] == ["released", "emptied"]


class Kernel:
    """As a kernel of Triton's: what it has not compiled yet goes by the hook first."""

    compiled = False

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self._run

    def _run(self, **arguments: object) -> None:
        hook = triton.knobs.runtime.jit_cache_hook
        if not self.compiled and hook is not None:
            hook(key="", repr="stream[num_warps=4](x_ptr: *fp32)", fn=None, compile={},
                 is_manual_warmup=False, already_compiled=False)  # fmt: skip
        self.compiled = True


def test_a_kernel_is_never_compiled_inside_a_capture(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launching, "INTERPRETED", False)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    kernel = Kernel()
    with pytest.raises(RuntimeError, match=r"stream: not compiled .*warm up"):
        launching.launch(kernel, 1)
    assert not kernel.compiled and triton.knobs.runtime.jit_cache_hook is None
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    launching.launch(kernel, 1)
    assert kernel.compiled
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    launching.launch(kernel, 1)


def test_another_threads_kernel_is_compiled_meanwhile_and_its_hook_called(
    monkeypatch: pytest.MonkeyPatch,
):
    seen: list[str] = []
    monkeypatch.setattr(
        triton.knobs.runtime, "jit_cache_hook", lambda **more: seen.append(more["repr"])
    )
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    with launching._compiling_nothing():
        Kernel()._run()
    assert seen == ["stream[num_warps=4](x_ptr: *fp32)"]
