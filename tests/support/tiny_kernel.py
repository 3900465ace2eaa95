"""A product of two small matrices, compiled for every target: prints its facts as JSON.

Run as a program, in a process without TRITON_INTERPRET.
"""

from __future__ import annotations

import dataclasses
import json

import torch
import triton
import triton.language as tl

from benchmarks.instruments import gpus
from benchmarks.snapshots import specializations, static
from marginbench.shared import launching


@triton.jit
def product(
    x_ptr, w_ptr, out_ptr, D, x_stride, w_stride,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out (M x N, float32): x (M x D) times w (N x D) transposed."""
    row_M, column_N, depth_K = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    sum_MN = tl.zeros((M, N), tl.float32)
    for start in range(0, D, K):
        inside_K = (start + depth_K < D)[None, :]
        depth = (start + depth_K)[None, :]
        x_MK = tl.load(x_ptr + row_M[:, None] * x_stride + depth, mask=inside_K, other=0.0)
        w_NK = tl.load(w_ptr + column_N[:, None] * w_stride + depth, mask=inside_K, other=0.0)
        sum_MN = tl.dot(x_MK, tl.trans(w_NK), sum_MN, input_precision=PRECISION)
    tl.store(out_ptr + row_M[:, None] * N + column_N[None, :], sum_MN)


def launches(dim: int) -> list[launching.Launch]:
    """The kernel as it is launched for bfloat16 rows of ``dim`` entries."""
    x_MD = torch.empty(64, dim, dtype=torch.bfloat16)
    out_MN = torch.empty(64, 64)
    with launching.recorded() as found:
        launching.launch(
            product, 1, x_ptr=x_MD, w_ptr=x_MD, out_ptr=out_MN, D=dim, x_stride=dim, w_stride=dim,
            M=64, N=64, K=64, PRECISION="ieee", num_warps=4, num_stages=2,
        )  # fmt: skip
    return found


def main() -> None:
    found = []
    made = [specializations.specialization(launch) for dim in (30, 512) for launch in launches(dim)]
    for target in gpus.TARGETS:
        for one, facts in zip(made, static.compile_all(made, target), strict=True):
            if isinstance(facts, Exception):
                raise facts
            row = {"target": target, "aligned": one.aligned, "product": one.product}
            found.append(row | dataclasses.asdict(facts))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
