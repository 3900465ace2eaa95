"""The GPU's state while something ran: clocks, power, temperature, throttle reasons.

Sampled by the process that waits, not by the one that is timed.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..instruments import machine

_EVERY_S = 0.1
# Bits of NVML's clock event reasons.
REASONS = {
    0x01: "idle", 0x02: "clocks set by a user", 0x04: "software power cap",
    0x08: "hardware slow-down", 0x10: "kept in step with another GPU",
    0x20: "software thermal slow-down", 0x40: "hardware thermal slow-down",
    0x80: "hardware power brake", 0x100: "display clocks",
}  # fmt: skip
Open = Callable[[], AbstractContextManager[tuple[Any, Any]]]
_Read = Callable[[Any, Any], float]
_FIGURES: dict[str, _Read] = {
    "sm_mhz": lambda nv, gpu: nv.nvmlDeviceGetClockInfo(gpu, nv.NVML_CLOCK_SM),
    "memory_mhz": lambda nv, gpu: nv.nvmlDeviceGetClockInfo(gpu, nv.NVML_CLOCK_MEM),
    "watts": lambda nv, gpu: nv.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "celsius": lambda nv, gpu: nv.nvmlDeviceGetTemperature(gpu, nv.NVML_TEMPERATURE_GPU),
}
_LIMITS: dict[str, _Read] = {
    "most_sm_mhz": lambda nv, gpu: nv.nvmlDeviceGetMaxClockInfo(gpu, nv.NVML_CLOCK_SM),
    "most_memory_mhz": lambda nv, gpu: nv.nvmlDeviceGetMaxClockInfo(gpu, nv.NVML_CLOCK_MEM),
    "most_watts": lambda nv, gpu: nv.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
}
NO_ANSWER = "NVML does not answer here"


def _ask(read: _Read, nv: Any, gpu: Any) -> float | None:
    """None if this driver, or a virtual GPU, does not report the figure."""
    try:
        return float(read(nv, gpu))
    except Exception:
        return None


def reasons(nv: Any, gpu: Any) -> int | None:
    """The bits. NVML renamed the call, and the old name may be removed."""
    for name in ("nvmlDeviceGetCurrentClocksEventReasons",
                 "nvmlDeviceGetCurrentClocksThrottleReasons"):  # fmt: skip
        try:
            return int(getattr(nv, name)(gpu))
        except Exception:
            continue
    return None


def limits(open_nvml: Open = machine.nvml) -> dict[str, Any]:
    """The GPU's limits, for the session's line; None for what is not reported."""
    with open_nvml() as (nv, gpu):
        if nv is None:
            return {"nvml": NO_ANSWER}
        return {name: _ask(read, nv, gpu) for name, read in _LIMITS.items()}


class Watch:
    """Samples from `start` to `close`; `take` sums up what came since the last `take`."""

    def __init__(self, open_nvml: Open = machine.nvml, every_s: float = _EVERY_S) -> None:
        self._open, self._every_s = open_nvml, every_s
        self._samples: list[tuple[dict[str, float | None], int | None]] = []
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self.reported = False

    def start(self) -> Watch:
        self._thread.start()
        return self

    def close(self) -> None:
        self._over.set()
        self._thread.join(timeout=5)

    def take(self) -> dict[str, Any]:
        """Lowest, median and highest of each figure, and every reason seen; an absent figure is
        None, and ``held_back`` is None if reasons are not reported."""
        with self._lock:
            samples, self._samples = self._samples, []
        if not samples:
            return {"samples": 0} if self.reported else {"samples": 0, "nvml": NO_ANSWER}
        found: dict[str, Any] = {"samples": len(samples)}
        for name in _FIGURES:
            values = [figures[name] for figures, _ in samples]
            known = [value for value in values if value is not None]
            found[name] = [min(known), statistics.median(known), max(known)] if known else None
        bits = [each for _, each in samples if each is not None]
        seen = [text for bit, text in REASONS.items() if any(each & bit for each in bits)]
        found["held_back"] = [text for text in seen if text != "idle"] if bits else None
        return found

    def _loop(self) -> None:
        with self._open() as (nv, gpu):
            if nv is None:
                return
            self.reported = True
            while not self._over.is_set():
                figures = {name: _ask(read, nv, gpu) for name, read in _FIGURES.items()}
                with self._lock:
                    self._samples.append((figures, reasons(nv, gpu)))
                self._over.wait(self._every_s)
