"""Which bytes the elements of a tensor take: a strided view's gaps are not among them."""

from __future__ import annotations

import numpy as np
import torch


class View:
    """The elements of one passed tensor, in bytes from its address."""

    def __init__(self, name: str, tensor: torch.Tensor) -> None:
        self.name, self.begin, self.itemsize = name, tensor.data_ptr(), tensor.element_size()
        steps = sorted(
            ((s, n) for n, s in zip(tensor.shape, tensor.stride(), strict=True) if n > 1 and s),
            reverse=True,
        )
        self.steps = [(s * self.itemsize, n) for s, n in steps]
        reach = sum((n - 1) * s for s, n in self.steps)
        self.end = 0 if tensor.numel() == 0 else reach + self.itemsize
        self.dense = self.end == tensor.numel() * self.itemsize
        # Where rows overlap, every byte in between belongs to one: only the extent decides.
        inner = self.itemsize
        self.apart = True
        for step, count in reversed(self.steps):
            self.apart, inner = self.apart and step >= inner, step * (count - 1) + inner

    def inside(self, offsets: np.ndarray, size: int) -> np.ndarray:
        """Which accesses of ``size`` bytes lie in one element (or anywhere within, if dense)."""
        within = (offsets >= 0) & (offsets + size <= self.end)
        if self.dense or not self.apart:
            return within
        rest = np.where(within, offsets, 0)
        for step, count in self.steps:
            index = np.minimum(rest // step, count - 1)
            rest = rest - index * step
        return within & (rest + size <= self.itemsize)

    def outside(self, offsets: np.ndarray, size: int) -> int:
        """The farthest of stray accesses, in elements."""
        before, after = int(offsets.min()), int(offsets.max()) + size - self.end
        if after > 0 and after >= -before:
            return -(-after // self.itemsize)
        return before // self.itemsize if before < 0 else 0
