"""What a Triton kernel compiles to, without a GPU: registers, stack, shared memory, instructions.

A launch is compiled with the very arguments that the launcher passes, through Triton's own
specialization (divisibility by 16, equality with 1), for a GPU that needn't be there::

    with launching.recorded(architecture="sm_90") as launches:
        softmax_terms(embeddings, ...)
    facts = compile_ahead(launches[0], "sm_90")

Not in the interpreter: import the kernels without ``TRITON_INTERPRET``.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget

from ..instruments import gpus
from .disassembly import amd_instructions, classes, code_hash, disassemble, text_section
from .specializations import Specialization, specialization

_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
_DOT = re.compile(r"tt\.dot .*: tensor<[\dx]+x(\w+)> \* tensor<[\dx]+x(\w+)>")


@dataclass(frozen=True)
class Facts:
    """Of a thread: ``registers`` (on AMD the vector ones), ``stack_bytes`` (spills of registers
    and what library calls take) and ``local_bytes`` beside it. Of a program: ``shared_bytes``,
    ``tensor_columns`` of tensor memory. ``programs`` and ``warps``: how many a processor holds at
    once. ``products``: the dtypes of operands of matrix products in the kernel's source.
    ``classes``: instructions by class, `disassembly.classes`; ``instructions``: all of them;
    ``code``: a hash of their text (`disassembly.code_hash`), the same wherever and whenever it is
    compiled."""

    registers: int
    stack_bytes: int
    local_bytes: int
    shared_bytes: int
    tensor_columns: int
    programs: int
    warps: int
    products: tuple[str, ...]
    classes: Mapping[str, int]
    instructions: int
    code: str


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
    """Compile a `marginbench.shared.launching.Launch` (or a Specialization) for one of
    `gpus.TARGETS`.

    Raises RuntimeError where the kernel was imported for the interpreter, and what Triton raises
    where it doesn't compile.
    """
    made = launch if isinstance(launch, Specialization) else specialization(launch)
    (facts,) = compile_all([made], target)
    if isinstance(facts, Exception):
        raise facts
    return facts


def compile_all(made: Sequence[Specialization], target: str) -> list[Facts | Exception]:
    """The same for many, which takes less time than one by one; what went wrong in its place."""
    compiled: list[Any] = []
    for one in made:
        try:
            compiled.append(_compile(one, target))
        except (OSError, MemoryError):
            raise  # the machine's fault and not the kernel's: a disk that is full
        except Exception as error:
            compiled.append(error)
    worked = [one for one in compiled if not isinstance(one, Exception)]
    facts = iter(_amd(worked, target) if gpus.TARGETS[target].is_amd else _nvidia(worked, target))
    return [one if isinstance(one, Exception) else next(facts) for one in compiled]


def _compile(one: Specialization, target: str) -> Any:
    kernel = one.kernel.load()
    if not isinstance(kernel, triton.runtime.JITFunction):
        raise RuntimeError("compile_ahead: the kernel was imported with TRITON_INTERPRET set")
    drivers = triton.runtime.driver
    before = drivers._active  # its own reset asks for a GPU
    drivers.set_active(_NoDriver(GPUTarget(*gpus.TARGETS[target].compiler)))
    try:
        return kernel.run(grid=(1,), warmup=True, **one.keywords())
    finally:
        drivers.set_active(before)


def _nvidia(compiled: Sequence[Any], target: str) -> list[Facts]:
    cubins = [one.asm["cubin"] for one in compiled]
    codes = [text_section(cubin) for cubin in cubins]
    name = gpus.TARGETS[target].disassembler
    listings = disassemble(codes, _TOOLS / "nvdisasm", name) if codes else []
    found = []
    for one, cubin, instructions in zip(compiled, cubins, listings, strict=True):
        usage = resources(_usage(cubin))
        found.append(
            _facts(target, one, instructions, usage["REG"], usage["STACK"], usage["LOCAL"])
        )
    return found


def _amd(compiled: Sequence[Any], target: str) -> list[Facts]:
    found = []
    for one in compiled:
        text = one.asm["amdgcn"]
        usage = amd_resources(text)
        found.append(
            _facts(target, one, amd_instructions(text),
                   usage["vgpr_count"], usage["private_segment_fixed_size"], 0)
        )  # fmt: skip
    return found


def _facts(
    target: str, compiled: Any, instructions: list[str], registers: int, stack: int, local: int
) -> Facts:
    metadata = compiled.metadata
    columns = getattr(metadata, "tmem_size", 0) or 0
    programs = gpus.programs(
        target, warps=metadata.num_warps, registers=registers, shared_bytes=metadata.shared,
        tensor_columns=columns,
    )  # fmt: skip
    dots = {dtype for pair in _DOT.findall(compiled.asm["ttir"]) for dtype in pair}
    return Facts(
        registers=registers,
        stack_bytes=stack,
        local_bytes=local,
        shared_bytes=metadata.shared,
        tensor_columns=columns,
        programs=programs,
        warps=programs * metadata.num_warps,
        products=tuple(sorted(dots)),
        classes=classes(instructions),
        instructions=len(instructions),
        code=code_hash(instructions, registers=gpus.TARGETS[target].numbered),
    )


def resources(usage: str) -> dict[str, int]:
    """``REG``, ``STACK`` and ``LOCAL`` in what ``cuobjdump -res-usage`` prints of one kernel."""
    return {key: int(value) for key, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}


def amd_resources(assembly: str) -> dict[str, int]:
    """The counts in the metadata of AMD's assembly, by their names there."""
    return {
        name: int(count)
        for name, count in re.findall(r"^\s+-?\s*\.(\w+_(?:count|size)):\s+(\d+)$", assembly, re.M)
    }


def _usage(cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run(
            [_TOOLS / "cuobjdump", "-res-usage", file.name],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
