"""The GPUs that kernels are compiled for without one, and data sheets of cards: a target is one
entry of `TARGETS`.

What the library must know itself (shared memory of a program, processors) has its entry in
`marginbench.shared.architectures`. Sources of the limits:

- NVIDIA: "CUDA C++ Programming Guide", table "Technical Specifications per Compute Capability";
  in which units registers and shared memory are handed out: the occupancy calculator of Nsight
  Compute; columns of tensor memory: "PTX ISA", section on tcgen05. From 8.0 on, the system keeps
  1 KiB of shared memory for itself in each program.
- AMD: "AMD Instinct MI300 ISA Reference Guide" (registers, LDS) and LLVM's "User Guide for AMDGPU
  Backend" (waves and workgroups). A lane's vector and accumulation registers share one file.

Needs neither torch nor triton.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from marginbench.shared.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE

# The one that figures are counted for, and that kernels may not spill on.
MAIN = DEFAULT_ARCHITECTURE


@dataclass(frozen=True)
class Card:
    """From a data sheet, ``source``. ``flops_per_s``: dense products by dtype (the sheet's figures
    are with sparsity, twice these, for 16 bits; float32 without tf32)."""

    name: str
    bytes_per_s: float
    flops_per_s: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Limits:
    """Of one processor: ``parts`` schedulers (SIMDs), each with ``registers`` for every lane of a
    warp, allocated in units of ``register_unit``; ``shared_kept`` bytes of shared memory are the
    system's in each program. A part's warps divide its registers, a processor's programs the
    rest."""

    parts: int
    warps: int
    programs: int
    registers: int
    register_unit: int
    shared_unit: int
    shared_kept: int
    tensor_columns: int = 0


@dataclass(frozen=True)
class Target:
    """``compiler``: backend, architecture and lanes of a warp, as Triton names them;
    ``disassembler``: its name there, of the variant with a warp group's instructions, none for AMD;
    ``product``: the instruction that multiplies matrices of 16-bit numbers; ``numbered``: whether
    the assembler gives registers the same numbers every time."""

    compiler: tuple[str, int | str, int]
    disassembler: str
    product: str
    limits: Limits
    numbered: bool = True
    cards: tuple[Card, ...] = ()

    @property
    def is_amd(self) -> bool:
        return self.compiler[0] == "hip"


_HOPPER = {"bfloat16": 989.4e12, "float16": 989.4e12, "float32": 67e12}
# 65,536 registers of 32 bits an SM: 512 for each lane of a warp in each of its four parts.
TARGETS: dict[str, Target] = {
    "sm_80": Target(("cuda", 80, 32), "SM80", "HMMA",
                    Limits(4, 64, 32, 512, 8, 128, 1 << 10)),
    "sm_90": Target(
        ("cuda", 90, 32), "SM90a", "HGMMA", Limits(4, 64, 32, 512, 8, 128, 1 << 10),
        cards=(
            Card("H100 SXM", 3.35e12, _HOPPER,
                 "NVIDIA H100 Tensor Core GPU data sheet (SXM, HBM3)"),
            Card("H200", 4.8e12, _HOPPER, "NVIDIA H200 Tensor Core GPU data sheet (SXM, HBM3e)"),
        ),
    ),
    "sm_100": Target(("cuda", 100, 32), "SM100a", "UTCHMMA",
                     Limits(4, 64, 32, 512, 8, 128, 1 << 10, tensor_columns=512), numbered=False),
    "gfx942": Target(("hip", "gfx942", 64), "", "v_mfma", Limits(4, 32, 16, 512, 8, 512, 0)),
}  # fmt: skip


def cards() -> list[Card]:
    return [card for target in TARGETS.values() for card in target.cards]


def programs(
    target: str, *, warps: int, registers: int, shared_bytes: int, tensor_columns: int = 0
) -> int:
    """Programs of ``warps`` warps that one processor (SM or CU) holds at once; 0 where not even one
    fits. ``registers`` a thread; ``shared_bytes`` and ``tensor_columns`` a program."""
    limits = TARGETS[target].limits
    each = _up(max(registers, 1), limits.register_unit)
    by_registers = limits.parts * (limits.registers // each) // warps
    if TARGETS[target].is_amd:
        # Its waves go to the SIMDs in turn, none of which can take another's.
        by_registers = limits.registers // each // -(-warps // limits.parts)
    shared = _up(shared_bytes + limits.shared_kept, limits.shared_unit)
    fits = [limits.programs, limits.warps // warps, by_registers]
    if shared:
        # One program can have all that is not the system's.
        fits.append((ARCHITECTURES[target].shared_bytes + limits.shared_kept) // shared)
    if tensor_columns:
        fits.append(limits.tensor_columns // tensor_columns)
    return min(fits)


def _up(amount: int, unit: int) -> int:
    return -(-amount // unit) * unit
