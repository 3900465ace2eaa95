"""Brings the images of each step, ahead of it where that takes time.

What is loaded is decided before: the loader is given the rows of every step in order and draws
nothing itself, so that no timing of a thread can change a result.
"""

from __future__ import annotations

import functools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

_READERS, _MOST_READERS = 2, 8
_ON_DEVICE = 1 << 30  # bytes of images that are kept on a GPU whole


def readers(device: str, cores: int) -> int:
    """How many threads read ahead: two beside a training on a CPU, which needs its cores itself;
    for a GPU, which trains faster than two can decode, all but one core up to eight."""
    return _READERS if device == "cpu" else min(_MOST_READERS, max(_READERS, cores - 1))


class Loader:
    """``loader[rows]`` are those images on the device, float32; ``loader.steps(rows of each
    step)`` yields them for one step after the other. ``waited_s`` grows by what steps waited.

    ``images`` is a tensor, which is indexed where it is, or anything with ``images[rows]``, which
    threads read ahead.
    """

    def __init__(self, images: Any, device: str) -> None:
        self._in_memory = isinstance(images, Tensor)
        if self._in_memory and device != "cpu" and images.nbytes <= _ON_DEVICE:
            images = images.to(device)
        self._images, self._device = images, device
        self._readers = readers(device, len(os.sched_getaffinity(0)))
        self.waited_s = 0.0

    def __getitem__(self, rows: Tensor) -> Tensor:
        if self._in_memory:
            return self._images[rows.to(self._images.device)].to(self._device)
        images = self._images[rows]
        if self._device == "cpu":
            return images
        return images.pin_memory().to(self._device, non_blocking=True)

    def steps(self, rows_of_steps: Sequence[Tensor]) -> Iterator[Tensor]:
        if self._in_memory:
            for rows in rows_of_steps:
                yield self._waiting(functools.partial(self.__getitem__, rows))
            return
        left, ahead = deque(rows_of_steps), deque[Future[Tensor]]()
        pool = ThreadPoolExecutor(self._readers, thread_name_prefix="loader")
        try:
            while left or ahead:
                while left and len(ahead) < 2 * self._readers:
                    ahead.append(pool.submit(self._read, left.popleft()))
                yield self._waiting(ahead.popleft().result)
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, rows: Tensor) -> Tensor:
        # Each thread has a number of threads of its own in PyTorch: one reader shall stay one.
        torch.set_num_threads(1)
        return self[rows]

    def _waiting(self, read: Callable[[], Tensor]) -> Tensor:
        began = time.perf_counter()
        images = read()
        self.waited_s += time.perf_counter() - began
        return images
