"""How many programs of a kernel a processor (SM or CU) holds at once, from what each takes.

The limits are documented by the makers:

- NVIDIA: "CUDA C++ Programming Guide", table "Technical Specifications per Compute Capability";
  in which units registers and shared memory are handed out: the occupancy calculator of Nsight
  Compute; columns of tensor memory: "PTX ISA", section on tcgen05. From 8.0 on, the system keeps
  1 KiB of shared memory for itself in each program.
- AMD: "AMD Instinct MI300 ISA Reference Guide" (registers, LDS) and LLVM's "User Guide for AMDGPU
  Backend" (waves and workgroups). A lane's vector and accumulation registers share one file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of one processor: ``parts`` schedulers (SIMDs), each with ``registers`` for every lane of a
    warp, allocated in units of ``register_unit``; shared memory in bytes. A part's warps divide its
    registers, a processor's programs the rest."""

    parts: int
    warps: int
    programs: int
    registers: int
    register_unit: int
    shared_bytes: int
    shared_unit: int
    shared_kept: int
    tensor_columns: int = 0


# 65,536 registers of 32 bits an SM: 512 for each lane of a warp in each of its four parts.
LIMITS = {
    "sm_80": Limits(4, 64, 32, 512, 8, 164 << 10, 128, 1 << 10),
    "sm_90": Limits(4, 64, 32, 512, 8, 228 << 10, 128, 1 << 10),
    "sm_100": Limits(4, 64, 32, 512, 8, 228 << 10, 128, 1 << 10, tensor_columns=512),
    "gfx942": Limits(4, 32, 16, 512, 8, 64 << 10, 512, 0),
}


def programs(
    target: str, *, warps: int, registers: int, shared_bytes: int, tensor_columns: int = 0
) -> int:
    """Programs of ``warps`` warps that fit one processor; 0 where not even one does.

    ``registers`` a thread; ``shared_bytes`` and ``tensor_columns`` a program.
    """
    limits = LIMITS[target]
    each = _up(max(registers, 1), limits.register_unit)
    by_registers = limits.parts * (limits.registers // each) // warps
    if target.startswith("gfx"):
        # Its waves go to the SIMDs in turn, none of which can take another's.
        by_registers = limits.registers // each // -(-warps // limits.parts)
    shared = _up(shared_bytes + limits.shared_kept, limits.shared_unit)
    fits = [limits.programs, limits.warps // warps, by_registers]
    if shared:
        fits.append(limits.shared_bytes // shared)
    if tensor_columns:
        fits.append(limits.tensor_columns // tensor_columns)
    return min(fits)


def _up(amount: int, unit: int) -> int:
    return -(-amount // unit) * unit
