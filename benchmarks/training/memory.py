"""How much memory there is, and how much a training took at most."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start(device: str) -> None:
    """Begins a new peak, where the system can: without it a process that trains twice reports the
    larger of both."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")


def machine_bytes() -> int:
    """What the machine has, however much of it is free."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(device: str) -> float:
    """On CUDA what PyTorch allocated at most, else the most that the process had resident."""
    if device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
