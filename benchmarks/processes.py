"""Processes that work side by side, none of which outlives what it works for.

Needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait


@contextlib.contextmanager
def side_by_side(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``count`` fresh processes. An error or an interrupt kills what still works: a
    compilation or a launch of minutes has nobody left who would read it."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=heed_parent_alone) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.kill()
                # Not join: the pool's own thread may be the one that learns of its end.
                wait([child.sentinel])
            raise


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """A process that is started inside does not hear Ctrl-C even while it imports, when nothing of
    ours could handle it: to ignore a signal is inherited."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def heed_parent_alone() -> None:
    """In a new process: Ctrl-C reaches the whole group, and the parent decides what it means; the
    parent's end, be it by kill -9, is this process's too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
