"""Watches every load and store of an interpreted kernel: each active lane must lie in a tensor
that was passed to the launch.

Only the interpreter can be watched; compiled kernels run as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from triton.runtime import interpreter

from kernels.machines import launching


class OutOfBounds(AssertionError):
    """A lane that isn't masked off reads or writes beside every tensor of its launch."""


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """First byte and one past the last that the tensor's elements take."""
    if tensor.numel() == 0:
        return tensor.data_ptr(), tensor.data_ptr()
    steps = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (steps + 1) * tensor.element_size()


def _check(extents: list[tuple[int, int]], pointers, mask, what: str) -> None:
    size = pointers.get_element_ty().primitive_bitwidth // 8
    active = np.broadcast_to(mask.data, pointers.data.shape).astype(bool)
    addresses = pointers.data[active].astype(np.int64)
    if addresses.size == 0:
        return
    inside = np.zeros(addresses.shape, dtype=bool)
    for begin, end in extents:
        inside |= (addresses >= begin) & (addresses + size <= end)
    if not inside.all():
        raise OutOfBounds(f"{what}: {int((~inside).sum())} of {inside.size} lanes out of bounds")


@contextmanager
def watched() -> Iterator[None]:
    """Inside, a launch through `kernels.machines.launching` fails where it leaves its tensors."""
    extents: list[tuple[int, int]] = []
    builder = interpreter.InterpreterBuilder
    load, store, run = (
        builder.create_masked_load, builder.create_masked_store, launching.Launch.__call__
    )  # fmt: skip

    def checked_load(self, pointers, mask, *rest):
        _check(extents, pointers, mask, "load")
        return load(self, pointers, mask, *rest)

    def checked_store(self, pointers, value, mask, *rest):
        _check(extents, pointers, mask, "store")
        return store(self, pointers, value, mask, *rest)

    def noted(launch):
        tensors = [v for v in launch.arguments.values() if isinstance(v, torch.Tensor)]
        extents[:] = [_extent(tensor) for tensor in tensors]
        run(launch)

    with pytest.MonkeyPatch.context() as patch:
        if launching.INTERPRETED:
            patch.setattr(builder, "create_masked_load", checked_load)
            patch.setattr(builder, "create_masked_store", checked_store)
            patch.setattr(launching.Launch, "__call__", noted)
        yield
