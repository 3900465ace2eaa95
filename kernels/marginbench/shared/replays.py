"""How long a call keeps a GPU busy: it is captured in a CUDA graph and the graph is replayed.

An eager call of a small operator takes as long as the host needs for its launches, whatever the
kernels do. A replay has no such part.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_WARMUP, _TIMED, _REPLAYS = 3, 11, 5


class NotCaptured(RuntimeError):
    """The call runs, but can't be captured in a CUDA graph; says why."""


def capturing(given: Tensor) -> bool:
    """Whether work on this tensor would be captured in a CUDA graph, not run."""
    return given.is_cuda and torch.cuda.is_current_stream_capturing()


def replayed_s(call: Callable[[], Any]) -> float:
    """The median time of a call's replay on the device, caches warm; compilation falls before it.

    Raises what the call raises, and NotCaptured where it runs but only outside a graph.
    """
    _warm_up(call)
    graph = _captured(call)
    try:
        graph.replay()
        return _median_s(graph.replay, _REPLAYS)
    finally:
        # Its memory belongs to no other call until it is given back.
        graph.reset()
        torch.cuda.empty_cache()


def called_s(call: Callable[[], Any]) -> float:
    """The median time of an eager call, the host's part included where the device waits for it."""
    _warm_up(call)
    return _median_s(call, 1)


def _warm_up(call: Callable[[], Any]) -> None:
    for _ in range(_WARMUP):
        call()


def _captured(call: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    # A stream of this device: torch's own for captures is of the first device that captured.
    # Other threads, a data loader's for instance, may go on meanwhile: thread_local.
    into = torch.cuda.graph(
        graph, stream=torch.cuda.Stream(), capture_error_mode="thread_local"
    )  # fmt: skip
    try:
        with into:
            call()
    except Exception as error:
        raise NotCaptured(f"{type(error).__name__}: {error}") from error
    finally:
        # torch leaves the capture's stream the current one where the capture fails.
        torch.cuda.set_stream(before)
    return graph


def _median_s(run: Callable[[], Any], each: int) -> float:
    """Of intervals of ``each`` runs: one interval is longer than the clock's steps."""
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(_TIMED)]
    for start, end in events:
        start.record()
        for _ in range(each):
            run()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events) / 1e3 / each
