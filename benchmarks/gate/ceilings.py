"""The least time that a case can take here, from rates that this very process has just reached.

A result that is faster than that did not do the work. The bound is generous: the best of many
short products, and a copy that stays in the caches where there are any.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch

from ..rows import Subject

_SIDES = {"cpu": (192, 512), "cuda": (2048, 8192)}
# Bytes: small enough for any second-level cache, where a small case's inputs may be too.
_COPIED = {"cpu": 128 << 10, "cuda": 8 << 20}
_REPEATS = 30
# The rates are themselves measured, on a machine that others may use: only a result that is faster
# by far is impossible.
_MARGIN = 0.7


def rates(device: str, dtype: str) -> tuple[float, float]:
    """Operations a second of a matrix product, and bytes a second of a copy (read and written)."""
    kind = getattr(torch, dtype)
    source = torch.ones(_COPIED[device] // kind.itemsize, dtype=kind, device=device)
    target = torch.empty_like(source)
    copied = _best(device, lambda: target.copy_(source))
    return max(_product(device, kind, n) for n in _SIDES[device]), 2 * _COPIED[device] / copied


def _product(device: str, kind: torch.dtype, side: int) -> float:
    a, b = (torch.randn(side, side).to(device, kind) for _ in range(2))
    product = torch.empty_like(a)
    return 2 * side**3 / _best(device, lambda: torch.mm(a, b, out=product))


_known = functools.cache(rates)


def least_seconds(subject: Subject, *, anew: bool = False) -> float:
    """Of one forward and, of a loss, backward pass, by what the loss declares that it costs;
    ``anew`` with rates as they are now, not as they were when first asked."""
    itemsize = getattr(torch, subject.dtype).itemsize
    cost = subject.variant.cost(subject.shape, itemsize)
    flops, nbytes = cost.forward_flops, cost.forward_bytes
    if subject.differentiable:
        flops, nbytes = flops + cost.backward_flops, nbytes + cost.backward_bytes
    rate, bandwidth = (rates if anew else _known)(subject.device, subject.dtype)
    return _MARGIN * max(flops / rate, nbytes / bandwidth)


def _best(device: str, work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
