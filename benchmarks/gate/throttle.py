"""Whether a GPU throttled: then its times say nothing about the code."""

from __future__ import annotations

from ..gpu import telemetry
from ..instruments import machine

# Slowed by hardware, heat or a power limit.
_BARRED = (0x08, 0x20, 0x40, 0x80)


def throttled(device: str) -> str:
    """A sentence on why times measured now are void; empty if they are not, on a CPU, or if the
    driver does not report it."""
    if device != "cuda":
        return ""
    with machine.nvml() as (nv, gpu):
        return describe((nv and telemetry.reasons(nv, gpu)) or 0)


def describe(reasons: int) -> str:
    """NVML's bits as a sentence; empty if none of them voids the times."""
    found = [telemetry.REASONS[bit] for bit in _BARRED if reasons & bit]
    return f"the GPU throttled ({', '.join(found)}): its times are void" if found else ""
