"""Counts what one call does on the CPU: bytes, allocations, and operators."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .. import memory

# One thread: operators cut in two allocate for either part, a tiled loss has a scratch for each
# thread, and where two run at once, which of them allocates first is chance.
THREADS = 1


class _Operators(TorchDispatchMode):
    """Counts the operators that reach a kernel, backward's among them; one of ours, registered as
    an operator, counts as one."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.count += 1
        return operator(*args, **(kwargs or {}))


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Inside, a call allocates the same whatever ran before it and however many cores there are.

    A garbage collection in the middle of a call would release what earlier ones left: it is for the
    caller to collect, between calls. What lives already is not looked at again, for that takes a
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
    """``peak_bytes``: live at the worst moment beyond what was before; ``total_bytes`` and
    ``allocations``: of all that was allocated. To be used inside `steady`, and not for the first
    call of anything: that one imports. Raises what the call raises."""
    live = highest = 0
    events = memory.cpu_events(call)
    for nbytes in events:
        live += nbytes
        highest = max(highest, live)
    taken = [nbytes for nbytes in events if nbytes > 0]
    return {"peak_bytes": highest, "total_bytes": sum(taken), "allocations": len(taken)}


def operators(call: Callable[[], Any]) -> int:
    """How many operators a call dispatches, forward and backward."""
    with _Operators() as counted:
        call()
    return counted.count
