"""External checks of our kernels: compute-sanitizer, and Triton's own for integer overflow.

A checker runs in a process of its own, over forward and backward of each Triton kernel of ours.
compute-sanitizer counts errors for the whole process, so its result applies to every case in it.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

METRIC = "checker_errors"
# Which of them are shown a planted error first.
PLANTED = ("overflow", "memcheck")
PLANTED_KERNELS = ("planted_overflow", "planted_outside")
WORKER = (sys.executable, "-m", "benchmarks.gpu.worker")
_TOOL = "compute-sanitizer"
_USUAL_PLACE = "/usr/local/cuda/bin"
# "ERROR SUMMARY: 2 errors" of memcheck; "RACECHECK SUMMARY: 1 hazard displayed (1 error, ...".
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:error|hazard)")
_FINDING = re.compile(r"^=+ (Invalid .+|.*[Hh]azard.+|Program hit .+|.*Race reported.+)$", re.M)
_REFUSED = re.compile(r"^=+ (.*(?:Device not supported|Internal Sanitizer Error).*)$", re.M)
_WHERE = re.compile(r"\bat (?:0x[0-9a-f]+ in )?([A-Za-z_]\w+)")
# What Triton's own check says on the error stream before it traps.
_OVERFLOWED = re.compile(r"int\d+ overflow detected for operation \w+")


def tool() -> str | None:
    """compute-sanitizer's path, None if it is not installed."""
    return shutil.which(_TOOL) or shutil.which(_TOOL, path=_USUAL_PLACE)


def command(checker: str, log: Path, found: str | None) -> tuple[str, ...]:
    """The checker's process; ``found`` is compute-sanitizer's path."""
    if checker == "overflow":
        return WORKER
    assert found is not None
    # %p is the process, so that each child has a log of its own; torch handles errors of CUDA's
    # functions itself.
    options = ("--report-api-errors", "no") if checker == "memcheck" else ()
    return (found, "--tool", checker, *options, "--log-file", f"{log}-%p", "--print-limit", "20",
            *WORKER)  # fmt: skip


def protocol(checker: str) -> dict[str, str]:
    if checker == "overflow":
        return {"instrument": "Triton's sanitize_overflow, by TRITON_DEBUG=1"}
    found = {"instrument": f"compute-sanitizer --tool {checker}", "covers": "its whole process"}
    if checker == "racecheck":
        found["control"] = "none: Triton places its barriers itself, so no race can be planted"
    return found


def environment(checker: str) -> Mapping[str, str]:
    """What a checker's process gets beside the session's own environment.

    Triton (3.6 and 3.7) compiles the test of every addition, subtraction and product of integers
    below 64 bits with ``sanitize_overflow``, which is on but does nothing without ``debug``:
    TRITON_DEBUG. torch's caching allocator would hide a read beyond a tensor's end.
    """
    if checker == "overflow":
        return {"TRITON_DEBUG": "1"}
    return {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}


@dataclass(frozen=True)
class Finding:
    """``errors`` is None if the tool gave no summary; ``sentence`` says what it found."""

    errors: int | None
    sentence: str = ""


def read(text: str) -> Finding:
    """What compute-sanitizer's log says."""
    summaries = _SUMMARY.findall(text)
    refused = _REFUSED.search(text)
    if refused:
        return Finding(None, f"compute-sanitizer does not work here: {refused.group(1)[:200]}")
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


def read_all(log: Path) -> tuple[Finding, str]:
    """The result of all children's logs but those of the planted error; and a sentence if the
    planted error was not found, else empty."""
    texts = [path.read_text(errors="replace") for path in sorted(log.parent.glob(f"{log.name}-*"))
             if path.suffix != ".err"]  # fmt: skip
    planted = [text for text in texts if any(name in text for name in PLANTED_KERNELS)]
    others = [read(text) for text in texts if text not in planted]
    missed = "" if planted else "it did not find a planted error, so it shows nothing"
    wrong = [finding for finding in others if finding.errors]
    if wrong:
        return Finding(sum(f.errors or 0 for f in wrong), wrong[0].sentence), missed
    unknown = [finding for finding in others if finding.errors is None]
    if unknown or not others:
        return unknown[0] if unknown else Finding(None, "compute-sanitizer left no log"), missed
    return Finding(0), missed


def overflow(text: str) -> str:
    """The overflow that Triton's check reported in an error text, empty if none."""
    found = _OVERFLOWED.search(text)
    return found.group(0) if found else ""


def why_not(checker: str, device: str) -> str:
    """Why a checker does not run here; empty if it does."""
    if checker == "overflow":
        return ""
    if device != "cuda":
        return "needs CUDA: this case is on the CPU"
    return "" if tool() else f"{_TOOL} is not installed: it comes with NVIDIA's CUDA toolkit"
