"""The least time that a case can take here, from rates that this process has just reached.

A faster result did not do the work. The rates are generous: the best of many short products, and a
copy that stays in the cache.
"""

from __future__ import annotations

import functools

import torch

from ..instruments.ceilings import copying, fastest, multiplying
from ..instruments.rows import Subject

_SIDES = {"cpu": (192, 512), "cuda": (2048, 8192)}
# Bytes: fits the second-level cache, where the inputs of a small case may lie too.
_COPIED = {"cpu": 128 << 10, "cuda": 8 << 20}
_REPEATS = 30
# The rates are measured too, perhaps on a shared machine: only a result that is far faster is
# impossible.
_MARGIN = 0.7


def rates(device: str, dtype: str) -> tuple[float, float]:
    """Operations a second of a matrix product, and bytes a second of a copy (read and written)."""
    copied, sides = _COPIED[device], _SIDES[device]
    copy_s = fastest(device, copying(device, copied, dtype), _REPEATS)
    return max(
        2 * side**3 / fastest(device, multiplying(device, side, dtype), _REPEATS) for side in sides
    ), 2 * copied / copy_s


_known = functools.cache(rates)


def least_seconds(subject: Subject, *, anew: bool = False) -> float:
    """For one forward pass and, for a loss, one backward pass, by the cost that the loss declares.
    ``anew`` measures the rates again instead of using those measured first."""
    itemsize = getattr(torch, subject.dtype).itemsize
    cost = subject.variant.cost(subject.shape, itemsize)
    flops, nbytes = cost.forward_flops, cost.forward_bytes
    if subject.differentiable:
        flops, nbytes = flops + cost.backward_flops, nbytes + cost.backward_bytes
    rate, bandwidth = (rates if anew else _known)(subject.device, subject.dtype)
    return _MARGIN * max(flops / rate, nbytes / bandwidth)
