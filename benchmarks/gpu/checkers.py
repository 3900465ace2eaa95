"""Other people's checks of our kernels: compute-sanitizer, and Triton's for integer overflow.

A checker runs in a process of its own, over forward and backward of each Triton kernel of ours.
compute-sanitizer counts for the whole process, so its sentence stands on every case of it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

METRIC = "checker_errors"
WORKER = (sys.executable, "-m", "benchmarks.gpu.worker")
_TOOL = "compute-sanitizer"
_USUAL_PLACE = "/usr/local/cuda/bin"
# "ERROR SUMMARY: 2 errors" of memcheck; "RACECHECK SUMMARY: 1 hazard displayed (1 error, ...".
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:error|hazard)")
_FINDING = re.compile(r"^=+ (Invalid .+|.*[Hh]azard.+|Program hit .+|.*Race reported.+)$", re.M)
_WHERE = re.compile(r"\bat (?:0x[0-9a-f]+ in )?([A-Za-z_]\w+)")
# What Triton's own check says on the error stream before it traps.
_OVERFLOWED = re.compile(r"int\d+ overflow detected for operation \w+")


def tool() -> str | None:
    """compute-sanitizer's path, None where it is not installed."""
    return shutil.which(_TOOL) or shutil.which(_TOOL, path=_USUAL_PLACE)


def command(checker: str, log: Path, found: str | None) -> tuple[str, ...]:
    """The checker's process; ``found`` is compute-sanitizer's path."""
    if checker == "overflow":
        return WORKER
    assert found is not None
    return (found, "--tool", checker, "--log-file", str(log), "--print-limit", "20", *WORKER)


def environment(checker: str) -> Mapping[str, str]:
    """What a checker's process gets beside the session's own environment.

    Triton (3.6 and 3.7) compiles the test of every addition, subtraction and product of integers
    below 64 bits with ``sanitize_overflow``, which is on but does nothing without ``debug``:
    TRITON_DEBUG. torch's own pools of memory would hide a read beyond a tensor's end.
    """
    if checker == "overflow":
        return {"TRITON_DEBUG": "1", "TORCH_USE_CUDA_DSA": "1"}
    return {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "TRITON_DISABLE_LINE_INFO": "0"}


@dataclass(frozen=True)
class Finding:
    """``errors`` is None where the tool gave no summary; ``sentence`` says what it found."""

    errors: int | None
    sentence: str = ""


def read(text: str) -> Finding:
    """What compute-sanitizer's log says."""
    summaries = _SUMMARY.findall(text)
    if not summaries:
        last = text.strip().splitlines()[-1:] or ["its log is empty"]
        return Finding(None, f"no summary from compute-sanitizer: {last[0].strip('= ')[:200]}")
    errors = sum(map(int, summaries))
    if not errors:
        return Finding(0)
    first = _FINDING.search(text)
    where = sorted(set(_WHERE.findall(text)))
    what = f"{errors} found in this process"
    what += f"; first: {first.group(1)[:120]}" if first else ""
    return Finding(errors, what + (f"; in {', '.join(where[:5])}" if where else ""))


def overflow(text: str) -> str:
    """The overflow that Triton's check reported in an error text, empty if none."""
    found = _OVERFLOWED.search(text)
    return found.group(0) if found else ""


def why_not(checker: str, device: str) -> str:
    """Why a checker does not run here; empty where it does."""
    if checker == "overflow":
        return ""
    if device != "cuda":
        return "needs CUDA: this case is on the CPU"
    return "" if tool() else f"{_TOOL} is not installed: it comes with NVIDIA's CUDA toolkit"


def root_environment(root: Path) -> dict[str, str]:
    """The environment in which a child of this clone finds our modules."""
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
