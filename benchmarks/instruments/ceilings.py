"""What this machine reaches: bytes a second of a copy, operations a second of a product.

The names of the rates are those that the report's targets ask a session's ``rates`` for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from . import clock
from .rows import explain

Work = Callable[[], object]
_PRODUCTS = {
    "flops_per_s_bfloat16": ("bfloat16", "ieee"),
    "flops_per_s_float16": ("float16", "ieee"),
    "flops_per_s_tf32": ("float32", "tf32"),
    "flops_per_s_float32": ("float32", "ieee"),
}
_WARM_UP, _TIMED = 3, 15
HOW = f"of the median of {_TIMED} rounds; a copy counts bytes read and written"


@dataclass(frozen=True)
class Sizes:
    """Bytes that are copied, and the side of the matrices that are multiplied."""

    copied: int
    side: int
    products: tuple[str, ...] = tuple(_PRODUCTS)


# A copy beyond every last-level cache, and sides whose rate has settled.
SIZES = {
    "cuda": Sizes(2 << 30, 8192),
    # 16-bit products take a CPU minutes.
    "cpu": Sizes(512 << 20, 1536, ("flops_per_s_float32",)),
}
# No evidence of anything, but every rate is there.
DRY_RUN = Sizes(8 << 20, 128)


def measure(device: str, sizes: Sizes) -> dict[str, Any]:
    """``rates`` by name, the ``rounds`` behind each (seconds), how they were taken, and for what
    failed its reason under ``failed``. Inputs are random: on zeros a GPU is faster."""
    timer = clock.for_device(device)
    rates: dict[str, float] = {}
    rounds: dict[str, list[float]] = {}
    failed: dict[str, str] = {}

    def note(name: str, amount: float, prepare: Callable[[], Work]) -> None:
        try:
            work = prepare()
            times = [timer.time(work, None)[0].both_s for _ in range(_WARM_UP + _TIMED)]
        except Exception as error:
            failed[name] = explain(error)
            return
        rounds[name] = times[_WARM_UP:]
        rates[name] = amount / statistics.median(rounds[name])

    note("bytes_per_s", 2.0 * sizes.copied, partial(copying, device, sizes.copied))
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        for name in sizes.products:
            dtype, precision = _PRODUCTS[name]
            torch.backends.cuda.matmul.fp32_precision = precision
            note(name, 2.0 * sizes.side**3, partial(multiplying, device, sizes.side, dtype))
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    protocol = {**timer.protocol, "copied_bytes": sizes.copied, "side": sizes.side, "rate": HOW}
    return {"rates": rates, "rounds": rounds, "protocol": protocol, "failed": failed}


def fastest(device: str, work: Work, repeats: int) -> float:
    """The least seconds of a call, one right after the other. `measure` empties a GPU's cache
    before each; here a copy may stay in it, for a rate that nothing exceeds."""
    times = []
    for _ in range(repeats):
        clock.synchronize(device)
        start = time.perf_counter()
        work()
        clock.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def copying(device: str, size: int, dtype: str = "float32") -> Work:
    """Copies ``size`` bytes, each of which is read and written."""
    kind: torch.dtype = getattr(torch, dtype)
    source = torch.randn(size // kind.itemsize, device=device).to(kind)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def multiplying(device: str, side: int, dtype: str) -> Work:
    """A product of two square matrices: 2 side^3 operations."""
    a, b = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=product)
