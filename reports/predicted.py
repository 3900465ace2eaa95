"""The least time that a case can take on a named GPU: from its data sheet, never measured.

A pass takes at least as long as its bytes at the memory's bandwidth and as its operations at the
rate of the units that multiply its dtype, whichever is longer. What a case costs at least comes
from its loss's cost model, which is the same for every contender.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.instruments.gpus import Card
from marginbench.loss import Cost

ITEMSIZE = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Bound:
    """Seconds that forward and backward take at least."""

    forward_s: float
    backward_s: float

    @property
    def both_s(self) -> float:
        return self.forward_s + self.backward_s


def bound(cost: Cost, dtype: str, gpu: Card, *, recomputing: bool = False) -> Bound:
    """``recomputing``: as a kernel does that keeps nothing of forward's products and makes them
    again in backward (four products for a head over class weights, not three)."""
    rate = gpu.flops_per_s[dtype]
    again = cost.forward_flops if recomputing else 0
    return Bound(
        max(cost.forward_bytes / gpu.bytes_per_s, cost.forward_flops / rate),
        max(cost.backward_bytes / gpu.bytes_per_s, (cost.backward_flops + again) / rate),
    )
