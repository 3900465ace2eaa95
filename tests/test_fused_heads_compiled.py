"""The heads' kernels compiled ahead of time: they compile, don't spill, and use tensor cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.static import compile_ahead
from kernels.a_softmax import fused as a_softmax
from kernels.center import fused_centers as center
from kernels.machines import launching, linear_lse_gradients
from kernels.machines.architectures import SHARED_BYTES
from kernels.softmax import fused as softmax

ROOT = Path(__file__).parents[1]


def _recorded_launches(dtype: torch.dtype, target: str) -> list[launching.Launch]:
    """Every kernel of the heads as it is launched for B=1024, D=512, C=100,000 on a GPU. The
    tensors are never touched, so that they cost no memory."""
    B, D, C = 1024, 512, 100_000
    x, w, bias = (torch.empty(size, dtype=dtype) for size in ((B, D), (C, D), (C,)))
    y = torch.zeros(B, dtype=torch.int64)
    with launching.recorded(target) as launches:
        for head, b in ((softmax.head, bias), (a_softmax.head, None)):
            terms, rows, inverse = head.operator(x, y, w, b, 4, 5.0)
            wanted = [True, True, b is not None]
            linear_lse_gradients.gradients(terms, x, y, w, b, rows, inverse, wanted)
        center.center_gradient(center.center_terms(x, y, w), x, y, w)
        center.center_update(x, y, w, 0.5)
    unique = {}
    for launch in launches:
        kernel = (launch.kernel.__name__, launch.arguments.get("inverse_ptr") is None)
        unique.setdefault(kernel, launch)
    return list(unique.values())


PRODUCTS = {
    "stream", "coefficients_of_range", "embedding_gradient_of_range", "weight_gradient_of_range",
}  # fmt: skip

# sm_80's tiles serve sm_86 and sm_120 too, which have less shared memory.
LIMITS = SHARED_BYTES | {"sm_80": SHARED_BYTES["sm_86"]}


def _compile_all() -> list[dict]:
    """What each kernel compiles to; products for every target, the others for sm_90."""
    found = []
    for dtype, targets in (
        (torch.bfloat16, ("sm_90", "sm_80", "sm_100", "gfx942")),
        (torch.float32, ("sm_90",)),
    ):
        for target in targets:
            for launch in _recorded_launches(dtype, target):
                product = launch.kernel.__name__ in PRODUCTS
                if not product and (target, dtype) != ("sm_90", torch.bfloat16):
                    continue
                facts = compile_ahead(launch, target)
                found.append({
                    "kernel": facts.kernel, "dtype": str(dtype), "target": target,
                    "spilled_bytes": facts.spilled_bytes, "products": facts.matrix_products,
                    "hopper": facts.instructions.get("HGMMA", 0),
                    "shared_bytes": facts.shared_bytes,
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
    every half-precision product on tensor cores."""
    found = _compiled_elsewhere()
    assert {facts["kernel"] for facts in found} >= PRODUCTS | {"rows_of_terms", "terms_and_steps"}
    for facts in found:
        assert facts["spilled_bytes"] == 0, facts
        assert facts["shared_bytes"] <= LIMITS[facts["target"]], facts
        if facts["kernel"] in PRODUCTS and facts["dtype"] == "torch.bfloat16":
            assert facts["products"] > 0, facts
            assert facts["hopper"] > 0 or facts["target"] != "sm_90", facts


if __name__ == "__main__":
    print(json.dumps(_compile_all()))
