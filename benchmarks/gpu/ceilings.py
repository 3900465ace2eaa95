"""What this machine reaches: bytes a second of a copy, operations a second of a product.

The names are those that the report's targets ask a session's ``rates`` for.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

from .. import clock
from ..rows import explain

_PRODUCTS = {
    "flops_per_s_bfloat16": ("bfloat16", "ieee"),
    "flops_per_s_float16": ("float16", "ieee"),
    "flops_per_s_tf32": ("float32", "tf32"),
    "flops_per_s_float32": ("float32", "ieee"),
}
# Beyond every second-level cache; and large enough for a matrix rate to have settled.
_COPIED = {"cpu": 8 << 20, "cuda": 2 << 30}
_SIDE = {"cpu": 128, "cuda": 8192}
_WARM_UP, _TIMED = 3, 15


def measure(device: str) -> dict[str, Any]:
    """``rates`` by name, the ``rounds`` behind each (seconds), how they were taken, and for what
    failed its reason under ``failed``. Inputs are random: on zeros a GPU is faster."""
    timer = clock.for_device(device)
    rates: dict[str, float] = {}
    rounds: dict[str, list[float]] = {}
    failed: dict[str, str] = {}

    def note(name: str, amount: float, prepare: Callable[[], Callable[[], object]]) -> None:
        try:
            work = prepare()
            times = [timer.time(work, None)[0].both_s for _ in range(_WARM_UP + _TIMED)]
        except Exception as error:
            failed[name] = explain(error)
            return
        rounds[name] = times[_WARM_UP:]
        rates[name] = amount / statistics.median(rounds[name])

    note("bytes_per_s", 2.0 * _COPIED[device], lambda: _copy(device))
    for name, (dtype, precision) in _PRODUCTS.items():
        side = _SIDE[device]
        note(name, 2.0 * side**3, lambda: _product(device, dtype, precision))  # noqa: B023
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    protocol = {
        **timer.protocol, "copied_bytes": _COPIED[device], "side": _SIDE[device],
        "rate": f"of the median of {_TIMED} rounds; a copy counts bytes read and written",
    }  # fmt: skip
    return {"rates": rates, "rounds": rounds, "protocol": protocol, "failed": failed}


def _copy(device: str) -> Callable[[], object]:
    source = torch.randn(_COPIED[device] // 4, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _product(device: str, dtype: str, precision: str) -> Callable[[], object]:
    torch.backends.cuda.matmul.fp32_precision = precision
    side, kind = _SIDE[device], getattr(torch, dtype)
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    product = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=product)
