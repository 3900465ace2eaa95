"""Work split into shares for the CPU's cores, each share on a thread of its own.

PyTorch splits every operator over its threads and waits for all of them at its end. Many small
operators in a row then wait many times, and where another process holds a core for a moment, each
wait costs that moment. Shares wait once, at the end of them all.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def undivided() -> Iterator[int]:
    """Gives the number of threads that torch may use, and inside uses one.

    Operators of this thread are then not cut over others, which would go on waiting busily and
    take the cores from the shares. A thread that first uses torch meanwhile begins like that.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def in_shares(work: Callable[[int], None], shares: int) -> None:
    """Calls ``work`` with 0 to ``shares`` - 1, the first on this thread, and returns when all have
    ended. To be used inside `undivided`. ``work`` makes no large tensor: instruments of memory see
    the calling thread alone. Raises what a share raises."""
    others = []
    if shares > 1:
        pool = _pool(os.getpid(), shares - 1)
        others = [pool.submit(_helped, work, share) for share in range(1, shares)]
    try:
        _work(work, 0)
    finally:
        for other in others:
            other.exception()  # waits: nothing may write into the tensors after this call
    for other in others:
        other.result()


def _helped(work: Callable[[int], None], share: int) -> None:
    torch.set_num_threads(1)
    _work(work, share)


@torch.inference_mode()
def _work(work: Callable[[int], None], share: int) -> None:
    work(share)


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Kept: a new thread's first product costs milliseconds. A forked process has its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="marginbench-share")
