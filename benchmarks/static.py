"""What a Triton kernel compiles to, without a GPU: registers, spills, shared memory, instructions.

A launch is compiled with the very arguments that the launcher passes, through Triton's own
specialisation (divisibility by 16, equality with 1), for a GPU that needn't be there::

    with launching.recorded() as launches:
        softmax_terms(embeddings, ...)
    facts = compile_ahead(launches[0], "sm_90")

Not in the interpreter: import the kernels without ``TRITON_INTERPRET``.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
_PRODUCTS = ("HMMA", "HGMMA", "UTCHMMA", "UTCQMMA", "v_mfma")


@dataclass(frozen=True)
class Facts:
    """``registers`` a thread; ``spilled_bytes`` a thread, the stack of library calls included;
    ``shared_bytes`` a program; ``instructions``: how often each operation stands in the code."""

    kernel: str
    target: str
    registers: int
    spilled_bytes: int
    shared_bytes: int
    instructions: Mapping[str, int]

    @property
    def matrix_products(self) -> int:
        """Tensor-core (matrix-core) instructions in the code."""
        return sum(n for name, n in self.instructions.items() if name.startswith(_PRODUCTS))


class _NoDriver:
    """Stands in for a GPU's driver as far as compiling asks."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> str:
        return str(self.target)

    def get_current_stream(self, device: object) -> int:
        return 0


def compile_ahead(launch: Any, target: str) -> Facts:
    """Compile a `kernels.machines.launching.Launch` for one of TARGETS.

    Raises RuntimeError where the kernel was imported for the interpreter, and what Triton raises
    where it doesn't compile.
    """
    if not isinstance(launch.kernel, triton.runtime.JITFunction):
        raise RuntimeError("compile_ahead: the kernel was imported with TRITON_INTERPRET set")
    drivers = triton.runtime.driver
    before = drivers._active  # its own reset asks for a GPU
    drivers.set_active(_NoDriver(TARGETS[target]))
    try:
        compiled = launch.kernel.run(grid=(launch.programs,), warmup=True, **dict(launch.arguments))
    finally:
        drivers.set_active(before)
    name = launch.kernel.__name__
    if target.startswith("gfx"):
        return _amd(name, target, compiled)
    return _nvidia(name, target, compiled)


def _amd(name: str, target: str, compiled: Any) -> Facts:
    text = compiled.asm["amdgcn"]

    def count(what: str) -> int:
        return int(re.search(rf"\.{what}:\s+(\d+)", text)[1])  # type: ignore[index]

    return Facts(
        kernel=name,
        target=target,
        registers=count("vgpr_count"),
        spilled_bytes=4 * (count("vgpr_spill_count") + count("sgpr_spill_count")),
        shared_bytes=compiled.metadata.shared,
        instructions=Counter(re.findall(r"^\s+([vs]_[a-z]\w*|ds_\w+|global_\w+)", text, re.M)),
    )


def _nvidia(name: str, target: str, compiled: Any) -> Facts:
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage = _cuobjdump("-res-usage", cubin)
        sass = _cuobjdump("-sass", cubin)
    found = {key: int(value) for key, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    operations = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", sass, re.M)
    return Facts(
        kernel=name,
        target=target,
        registers=found["REG"],
        spilled_bytes=found["STACK"] + found["LOCAL"],
        shared_bytes=compiled.metadata.shared,
        instructions=Counter(operation.split(".")[0] for operation in operations),
    )


def _cuobjdump(option: str, cubin: Path) -> str:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return subprocess.run(
        [tool, option, cubin], check=True, capture_output=True, text=True, env=dict(os.environ)
    ).stdout
