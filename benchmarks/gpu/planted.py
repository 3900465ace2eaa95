"""Two wrong kernels that a checker must catch before its results count.

There is none for races: Triton places its barriers itself. `checkers.PLANTED_KERNELS` has their
names.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..instruments.clock import synchronize


@triton.jit
def planted_overflow(out_ptr, step):
    i = tl.arange(0, 16)
    tl.store(out_ptr + i, i * step)


@triton.jit
def planted_outside(out_ptr):
    i = tl.arange(0, 64)
    tl.store(out_ptr + i, i)


def run(checker: str, device: str) -> None:
    """Runs the wrong kernel that ``checker`` has to find. The one that writes outside a tensor runs
    only under the sanitizer that catches it."""
    out = torch.zeros(16, dtype=torch.int32, device=device)
    if checker == "overflow":
        planted_overflow[(1,)](out, 2**30)
    elif checker == "memcheck" and device == "cuda":
        planted_outside[(1,)](out)
    else:
        raise ValueError(f"checker: expected overflow, or memcheck on cuda; got {checker}")
    synchronize(device)
