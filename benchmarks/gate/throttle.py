"""Whether a GPU held itself back: then its times say nothing about the code."""

from __future__ import annotations

# Bits of NVML's clock event reasons: slowed by hardware, for heat or for power's sake.
_BARRED = {
    0x08: "hardware slow-down", 0x20: "software thermal slow-down",
    0x40: "hardware thermal slow-down", 0x80: "hardware power brake",
}  # fmt: skip


def throttled(device: str) -> str:
    """Why timed figures of this moment are void, as a sentence; empty where they are not, on a
    CPU, or where the driver does not tell."""
    if device != "cuda":
        return ""
    from ..machine import nvml

    with nvml() as (library, gpu):
        if not library:
            return ""
        try:
            reasons = library.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)
        except Exception:  # an older driver, or a virtual GPU that keeps it to itself
            return ""
    return describe(reasons)


def describe(reasons: int) -> str:
    """NVML's bits as a sentence; empty where none of them bars a comparison."""
    found = [text for bit, text in _BARRED.items() if reasons & bit]
    return f"the GPU held itself back ({', '.join(found)}): its times are void" if found else ""
