"""Times one call: forward, then backward, and both from the same call."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch


@dataclass(frozen=True)
class Sample:
    """Seconds of one call; ``backward_s`` is None where there is no backward pass."""

    forward_s: float
    backward_s: float | None
    both_s: float


class Clock(Protocol):
    protocol: ClassVar[dict[str, str]]

    def time(
        self, forward: Callable[[], Any], backward: Callable[[Any], None] | None
    ) -> tuple[Sample, Any]:
        """The seconds of ``forward()`` and of ``backward(its value)``, and the value."""
        ...


class WallClock:
    """time.perf_counter_ns; for the CPU, whose operators return when they are done."""

    protocol: ClassVar[dict[str, str]] = {
        "clock": "time.perf_counter_ns",
        "synchronisation": "none needed: CPU operators return when they are done",
        "cache": "warm: inputs rewritten before each round, then as the contender before left it",
    }

    def time(
        self, forward: Callable[[], Any], backward: Callable[[Any], None] | None
    ) -> tuple[Sample, Any]:
        start = time.perf_counter_ns()
        value = forward()
        middle = time.perf_counter_ns()
        if backward is None:
            return _sample(middle - start, None, 1e-9), value
        backward(value)
        end = time.perf_counter_ns()
        return _sample(middle - start, end - middle, 1e-9), value


class CudaClock:
    """CUDA events around each pass, after a write that leaves nothing of the inputs in L2.

    The write keeps the device busy while the host queues the call's kernels, so that launching them
    is not timed.
    """

    protocol: ClassVar[dict[str, str]] = {
        "clock": "CUDA events",
        "synchronisation": "the device, before and after each call",
        "cache": "cold: a buffer of twice the L2 cache is written before each call",
    }

    def __init__(self) -> None:
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        size = 2 * max(int(getattr(properties, "L2_cache_size", 0)), 32 << 20)
        self._flush = torch.empty(size, dtype=torch.int8, device="cuda")
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]

    def time(
        self, forward: Callable[[], Any], backward: Callable[[Any], None] | None
    ) -> tuple[Sample, Any]:
        start, middle, end = self._events
        torch.cuda.synchronize()
        self._flush.zero_()
        start.record()
        value = forward()
        middle.record()
        if backward is not None:
            backward(value)
        end.record()
        torch.cuda.synchronize()
        if backward is None:
            return _sample(start.elapsed_time(middle), None, 1e-3), value
        return _sample(start.elapsed_time(middle), middle.elapsed_time(end), 1e-3), value


def _sample(forward: float, backward: float | None, unit_s: float) -> Sample:
    both = forward + (backward or 0)
    return Sample(forward * unit_s, None if backward is None else backward * unit_s, both * unit_s)


def synchronize(device: str) -> None:
    """Returns when the device has done what it was asked to."""
    if device == "cuda":
        torch.cuda.synchronize()


def for_device(device: str) -> Clock:
    return CudaClock() if device == "cuda" else WallClock()


@contextmanager
def no_collection() -> Iterator[None]:
    """Collects garbage now, so that it is not collected while something is timed."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
