"""What one card of each target can do at most, as published: the rates that `bounds` divides by.

Beside the operations and bytes a second of its data sheet (`gpus.Card`), of a processor and clock:

- exponentials and float32 multiply-adds: "CUDA C++ Programming Guide", table "Throughput of Native
  Arithmetic Instructions"; AMD's from the float32 rate of its data sheet;
- instructions issued, for each warp: one by each of four schedulers, from the same guide's
  "Hardware Multithreading".

None is what no vendor's document says: for the L2 cache of the H100 and the B200 there are
measurements of others alone. Needs neither torch nor triton.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import gpus
from .gpus import Card


@dataclass(frozen=True)
class Sheet:
    """``multiply_adds``, ``exponentials`` and ``issued``: results, and instructions of warps, that
    one processor makes a clock; ``l2_bytes``: that all of them together read from the L2 cache a
    clock."""

    card: Card
    multiply_adds: int
    exponentials: int | None
    issued: int | None
    l2_bytes: int | None
    l2_source: str = ""

    def clock_hz(self, processors: int) -> float:
        """The clock that the sheet's float32 rate needs, two operations a multiply-add."""
        return self.card.flops_per_s["float32"] / (2 * self.multiply_adds * processors)


SHEETS = {
    "sm_80": Sheet(
        Card("A100 SXM 80 GB", 2.039e12,
             {"bfloat16": 312e12, "float16": 312e12, "float32": 19.5e12},
             "NVIDIA A100 Tensor Core GPU data sheet (SXM, 80 GB)"),
        64, 16, 4, 5120, "NVIDIA A100 Tensor Core GPU Architecture, white paper, page 35",
    ),
    "sm_90": Sheet(gpus.TARGETS["sm_90"].cards[0], 128, 16, 4, None),
    "sm_100": Sheet(
        Card("B200", 8e12, {"bfloat16": 2250e12, "float16": 2250e12, "float32": 80e12},
             "NVIDIA Blackwell Architecture Technical Brief (HGX B200)"),
        128, 16, 4, None,
    ),
    "gfx942": Sheet(
        Card("MI300X", 5.3e12, {"bfloat16": 1307.4e12, "float16": 1307.4e12, "float32": 163.4e12},
             "AMD Instinct MI300X data sheet"),
        128, None, None, 8 * 2048, "AMD CDNA 3 white paper (2 KB a clock in each of 8 dies)",
    ),
}  # fmt: skip
