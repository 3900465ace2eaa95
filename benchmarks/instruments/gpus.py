"""The GPUs that kernels are compiled for without one, and data sheets of cards: a target is one
entry of `TARGETS`.

The library asks a GPU that is there, and takes these facts for one that is not. Which of its
tables of tiles serves a target, it knows itself: `marginbench.shared.architectures`. Sources of the
limits:

- NVIDIA: "CUDA C++ Programming Guide", table "Technical Specifications per Compute Capability";
  (shared memory: the most that one block may ask for);
  in which units registers and shared memory are handed out: the occupancy calculator of Nsight
  Compute; columns of tensor memory: "PTX ISA", section on tcgen05. From 8.0 on, the system keeps
  1 KiB of shared memory for itself in each program.
- Rates of a processor and clock: exponentials and float32 multiply-adds, the same guide's table
  "Throughput of Native Arithmetic Instructions", AMD's from the float32 rate of its data sheet;
  instructions issued, one by each of four schedulers for a warp, its "Hardware Multithreading".
  None is what no vendor's document says: for the L2 cache of the H100 and the B200 there are
  measurements of others alone.
- AMD: "AMD Instinct MI300 ISA Reference Guide" (registers, LDS) and LLVM's "User Guide for AMDGPU
  Backend" (waves and workgroups). A lane's vector and accumulation registers share one file.

Needs neither torch nor triton.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from marginbench.shared.architectures import DEFAULT_ARCHITECTURE, DEFAULT_PROCESSORS

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
class Sheet:
    """What one card of a target can do at most: beside its data sheet ``multiply_adds``,
    ``exponentials`` and ``issued``, results, and instructions of warps, that one processor makes a
    clock; ``l2_bytes``: that all of them together read from the L2 cache a clock."""

    card: Card
    multiply_adds: int
    exponentials: int | None
    issued: int | None
    l2_bytes: int | None
    l2_source: str = ""

    def clock_hz(self, processors: int) -> float:
        """The clock that the sheet's float32 rate needs, two operations a multiply-add."""
        return self.card.flops_per_s["float32"] / (2 * self.multiply_adds * processors)


@dataclass(frozen=True)
class Limits:
    """Of one processor: ``parts`` schedulers (SIMDs), each with ``registers`` for every lane of a
    warp, allocated in units of ``register_unit``; ``shared_bytes``: the most shared memory that one
    program can have, in units of ``shared_unit``; ``shared_kept`` bytes more are the system's in
    each program. A part's warps divide its registers, a processor's programs the
    rest."""

    parts: int
    warps: int
    programs: int
    registers: int
    register_unit: int
    shared_bytes: int
    shared_unit: int
    shared_kept: int
    tensor_columns: int = 0


@dataclass(frozen=True)
class Target:
    """``processors``: streaming multiprocessors (compute units) of its largest card;
    ``compiler``: backend, architecture and lanes of a warp, as Triton names them;
    ``disassembler``: its name there, of the variant with a warp group's instructions, none for AMD;
    ``product``: the instruction that multiplies matrices of 16-bit numbers; ``sheet``: of the card
    that bounds are counted for; ``numbered``: whether the assembler gives registers the same
    numbers every time; ``cards``: those that targets of speed are set for."""

    processors: int
    compiler: tuple[str, int | str, int]
    disassembler: str
    product: str
    limits: Limits
    sheet: Sheet
    numbered: bool = True
    cards: tuple[Card, ...] = ()

    @property
    def is_amd(self) -> bool:
        return self.compiler[0] == "hip"


_HOPPER = {"bfloat16": 989.4e12, "float16": 989.4e12, "float32": 67e12}
_H100 = Card("H100 SXM", 3.35e12, _HOPPER, "NVIDIA H100 Tensor Core GPU data sheet (SXM, HBM3)")
# 65,536 registers of 32 bits an SM: 512 for each lane of a warp in each of its four parts.
TARGETS: dict[str, Target] = {
    "sm_80": Target(108, ("cuda", 80, 32), "SM80", "HMMA",
                    Limits(4, 64, 32, 512, 8, 163 << 10, 128, 1 << 10),
                    Sheet(
                        Card("A100 SXM 80 GB", 2.039e12,
                             {"bfloat16": 312e12, "float16": 312e12, "float32": 19.5e12},
                             "NVIDIA A100 Tensor Core GPU data sheet (SXM, 80 GB)"),
                        64, 16, 4, 5120,
                        "NVIDIA A100 Tensor Core GPU Architecture, white paper, page 35")),
    "sm_90": Target(
        DEFAULT_PROCESSORS, ("cuda", 90, 32), "SM90a", "HGMMA",
        Limits(4, 64, 32, 512, 8, 227 << 10, 128, 1 << 10),
        Sheet(_H100, 128, 16, 4, None),
        cards=(
            _H100,
            Card("H200", 4.8e12, _HOPPER, "NVIDIA H200 Tensor Core GPU data sheet (SXM, HBM3e)"),
        ),
    ),
    "sm_100": Target(
        148, ("cuda", 100, 32), "SM100a", "UTCHMMA",
        Limits(4, 64, 32, 512, 8, 227 << 10, 128, 1 << 10, tensor_columns=512),
        Sheet(
            Card("B200", 8e12, {"bfloat16": 2250e12, "float16": 2250e12, "float32": 80e12},
                 "NVIDIA Blackwell Architecture Technical Brief (HGX B200)"),
            128, 16, 4, None,
        ),
        numbered=False,
    ),
    "gfx942": Target(304, ("hip", "gfx942", 64), "", "v_mfma",
                     Limits(4, 32, 16, 512, 8, 64 << 10, 512, 0),
                     Sheet(
                         Card("MI300X", 5.3e12,
                              {"bfloat16": 1307.4e12, "float16": 1307.4e12, "float32": 163.4e12},
                              "AMD Instinct MI300X data sheet"),
                         128, None, None, 8 * 2048,
                         "AMD CDNA 3 white paper (2 KB a clock in each of 8 dies)")),
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
        fits.append((limits.shared_bytes + limits.shared_kept) // shared)
    if tensor_columns:
        fits.append(limits.tensor_columns // tensor_columns)
    return min(fits)


def _up(amount: int, unit: int) -> int:
    return -(-amount // unit) * unit
