"""Counts what one call does on the CPU: bytes, allocations, and operators."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...instruments import memory

# One thread: with several, an operator split in parts allocates for each part, a tiled loss has
# scratch for each thread, and the order of allocations is random.
THREADS = 1


class _Operators(TorchDispatchMode):
    """Counts the operators that reach a kernel, also in backward; a custom operator of ours counts
    as one."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.count += 1
        return operator(*args, **(kwargs or {}))


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Inside, a call allocates the same whatever ran before it and on any number of cores.

    A garbage collection in the middle of a call would release what earlier calls left, so the
    caller collects between calls. Objects that exist already are frozen: scanning them takes a
    quarter of a second.
    """
    threads, collects = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(THREADS)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()
        torch.set_num_threads(threads)


def allocations(call: Callable[[], Any]) -> dict[str, int]:
    """``peak_bytes``: the peak of live bytes beyond those before the call; ``total_bytes`` and
    ``allocations``: of all that was allocated. Use it inside `steady`, and not for a first call,
    which imports. Raises what the call raises."""
    events = memory.cpu_events(call)
    taken = [nbytes for nbytes in events if nbytes > 0]
    return {
        "peak_bytes": memory.highest(events), "total_bytes": sum(taken), "allocations": len(taken),
    }  # fmt: skip


def operators(call: Callable[[], Any]) -> int:
    """How many operators a call dispatches, forward and backward."""
    with _Operators() as counted:
        call()
    return counted.count
