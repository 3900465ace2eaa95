"""Whether a GPU throttled: then its times say nothing about the code."""

from __future__ import annotations

# Bits of NVML's clock event reasons: slowed by hardware, heat or a power limit.
_BARRED = {
    0x08: "hardware slow-down", 0x20: "software thermal slow-down",
    0x40: "hardware thermal slow-down", 0x80: "hardware power brake",
}  # fmt: skip


def throttled(device: str) -> str:
    """A sentence on why times measured now are void; empty if they are not, on a CPU, or if the
    driver does not report it."""
    if device != "cuda":
        return ""
    from ..machine import nvml

    with nvml() as (library, gpu):
        if not library:
            return ""
        try:
            reasons = library.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)
        except Exception:  # an older driver, or a virtual GPU that does not report it
            return ""
    return describe(reasons)


def describe(reasons: int) -> str:
    """NVML's bits as a sentence; empty if none of them voids the times."""
    found = [text for bit, text in _BARRED.items() if reasons & bit]
    return f"the GPU throttled ({', '.join(found)}): its times are void" if found else ""
