"""The pairwise kernels compiled ahead of time: they compile, don't spill, and use tensor cores."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.static import compile_ahead
from kernels.contrastive import fused_all_pairs, fused_pairs
from kernels.machines import launching
from kernels.machines.architectures import SHARED_BYTES
from kernels.triplet import fused_all, fused_explicit, fused_hard, fused_semi_hard

ROOT = Path(__file__).parents[1]
# The kernels whose products have 16-bit operands, by module and name.
PRODUCTS = {
    "fused_all_pairs._terms_kernel", "fused_all_pairs._gradient_kernel",
    "fused_hard._hardest_kernel", "fused_semi_hard._semi_hard_kernel",
    "fused_all._distances_kernel", "fused_all._gradient_kernel",
}  # fmt: skip
ROWS = {
    "fused_pairs._terms_kernel", "fused_pairs._gradient_kernel",
    "fused_explicit._terms_kernel", "fused_explicit._gradient_kernel",
    "fused_hard._terms_kernel", "fused_all._triplets_kernel",
    "pairwise_gradient._gradient_of_list_kernel", "pairwise_launch._squared_norms_kernel",
}  # fmt: skip
# For Hopper all; for the others where their tensor cores come in.
TARGETS = {torch.bfloat16: ("sm_90", "sm_80", "gfx942"), torch.float16: ("sm_90",),
           torch.float32: ("sm_90",)}  # fmt: skip

# sm_80's tiles serve sm_86 and sm_120 too, which have less shared memory.
LIMITS = SHARED_BYTES | {"sm_80": SHARED_BYTES["sm_86"]}


def _recorded_launches(dtype: torch.dtype, target: str) -> list[launching.Launch]:
    """Every kernel as it is launched for B=1024, D=512 on a GPU, with four samples of an
    identity."""
    B, D = 1024, 512
    x = torch.zeros(B, D, dtype=dtype)
    y = torch.arange(B) % (B // 4)
    mean, terms, index = torch.ones(()).expand(B), torch.zeros(B), torch.zeros_like(y)
    with launching.recorded(target) as launches:
        fused_all_pairs.all_pairs_terms(x, y, 1.0)
        fused_all_pairs.all_pairs_gradient(x, y, mean, 1.0)
        fused_pairs.pair_terms(x, x, y > 0, 1.0)
        fused_pairs.pair_gradients(x, x, y > 0, terms, mean, 1.0)
        fused_explicit.explicit_terms(x, x, x, 0.2)
        fused_explicit.explicit_gradients(x, x, x, terms, mean)
        fused_hard.hard_terms(x, y, 0.2)
        fused_hard.hard_gradient(x, terms, index, index, mean)
        fused_semi_hard.semi_hard_terms(x, y, 0.2)
        fused_semi_hard.semi_hard_negatives(x, y, 3 * B)
        fused_semi_hard.semi_hard_gradient(x, y, mean, 0.2)
        for beyond, counts in ((False, True), (True, True), (False, False)):
            found = fused_all.all_terms(x, y, 0.2, beyond, counts)[2]
            if counts:
                fused_all.all_gradient(x, found, mean)
    unique = {}
    for launch in launches:
        options = {k: v for k, v in launch.arguments.items() if not isinstance(v, torch.Tensor)}
        pointers = {k: v.dtype for k, v in launch.arguments.items() if k not in options}
        unique.setdefault((_name(launch), str(options), str(pointers)), launch)
    return list(unique.values())


def _name(launch: launching.Launch) -> str:
    return f"{launch.kernel.fn.__module__.rsplit('.', 1)[-1]}.{launch.kernel.__name__}"


def _compile(dtype: torch.dtype) -> list[dict]:
    """What each kernel compiles to. 16-bit types differ where there is a product."""
    found = []
    for target in TARGETS[dtype]:
        for launch in _recorded_launches(dtype, target):
            name = _name(launch)
            if name in PRODUCTS or (target == "sm_90" and dtype != torch.float16):
                facts = compile_ahead(launch, target)
                found.append({
                    "kernel": name, "dtype": str(dtype), "target": target,
                    "registers": facts.registers, "spilled_bytes": facts.spilled_bytes,
                    "products": facts.matrix_products, "shared_bytes": facts.shared_bytes,
                    "hopper": facts.instructions.get("HGMMA", 0),
                })  # fmt: skip
    return found


def _compiled_elsewhere() -> list[dict]:
    """The same from a process of its own: an interpreted kernel can't be compiled."""
    variables = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, __file__], env=variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=500, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_kernel_compiles_ahead_of_time():
    """No spills and no more shared memory than there is with each architecture's own tiles, and
    every half-precision product on tensor cores. (gfx942 spills scalar registers into vector
    registers, which the count doesn't tell from memory.)"""
    found = _compiled_elsewhere()
    assert {facts["kernel"] for facts in found} == PRODUCTS | ROWS
    for facts in found:
        assert facts["spilled_bytes"] == 0 or facts["target"] == "gfx942", facts
        assert facts["shared_bytes"] <= LIMITS[facts["target"]], facts
        if facts["kernel"] in PRODUCTS and facts["dtype"] != "torch.float32":
            assert facts["products"] > 0, facts
            assert facts["hopper"] > 0 or facts["target"] != "sm_90", facts


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(json.dumps([facts for part in pool.map(_compile, TARGETS, 1) for facts in part]))
