"""Peak bytes of a call beyond its inputs, exact; and a limit, so that running out is a result."""

from __future__ import annotations

import gc
import itertools
import os
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import machine

CPU_PROTOCOL = {
    "instrument": "the CPU allocator's events, in order",
    "covers": "every tensor, temporaries inside operators and compiled code included; "
    "not numpy's memory nor what math libraries take for themselves",
}
CUDA_PROTOCOL = {"instrument": "the CUDA caching allocator's peaks, from an emptied cache"}
# Leaves room for what is not the allocator's: code, threads, the other processes of the machine.
_SHARE = 0.85


@dataclass(frozen=True)
class Peak:
    """``figures`` by metric: the peak of live bytes, beyond those before the call, and on a GPU the
    bytes taken from the device for it."""

    figures: dict[str, int]
    protocol: dict[str, str]


def peak(call: Callable[[], Any], device: str) -> Peak:
    """The peak of one call; its outputs count, the inputs do not. Raises what the call raises."""
    gc.collect()
    return _on_cuda(call) if device == "cuda" else _on_cpu(call)


def _on_cpu(call: Callable[[], Any]) -> Peak:
    return Peak({"peak_bytes": highest(cpu_events(call))}, CPU_PROTOCOL)


def highest(events: Iterable[int]) -> int:
    """The most that was live at a time, by the events of a call."""
    return max(itertools.accumulate(events, initial=0))


def cpu_events(call: Callable[[], Any]) -> list[int]:
    """Bytes of each allocation of a call on the CPU, and of each release (negative), in order."""
    profiler = torch.autograd.profiler.profile(profile_memory=True, use_kineto=True)
    with _quiet():
        profiler.__enter__()
    try:
        held = call()
    finally:
        with _quiet():
            profiler.__exit__(None, None, None)
    del held
    results: Any = profiler.kineto_results
    memory = [event for event in results.events() if event.name() == "[memory]"]
    cpu = torch.autograd.DeviceType.CPU
    ordered = sorted(memory, key=lambda event: event.start_ns())
    return [event.nbytes() for event in ordered if event.device_type() == cpu]


def _on_cuda(call: Callable[[], Any]) -> Peak:
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    held = call()
    torch.cuda.synchronize()
    del held
    figures = {
        "peak_bytes": torch.cuda.max_memory_allocated() - allocated,
        "peak_reserved_bytes": torch.cuda.max_memory_reserved() - reserved,
    }
    return Peak(figures, CUDA_PROTOCOL)


@contextmanager
def _quiet() -> Iterator[None]:
    """The profiler announces its start and end on the error stream, from C++."""
    saved = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def protected() -> Iterator[None]:
    """Inside, an allocation that the machine has no room for raises, before the operating system
    kills the process: the data segment may grow by 85% of what is available now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + int(_SHARE * machine.available_memory())
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """What counts towards RLIMIT_DATA already."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
