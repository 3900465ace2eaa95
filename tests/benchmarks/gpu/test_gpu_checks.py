"""What watches the kernels on a GPU beside our own checks, and the GPU itself: without a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gpu import cells, checkers, telemetry
from benchmarks.instruments.rows import Row


@contextmanager
def nothing() -> Iterator[tuple[None, None]]:
    yield None, None


def test_a_checker_is_given_its_command_and_its_settings(tmp_path: Path):
    assert checkers.command("overflow", tmp_path / "log", None) == checkers.WORKER
    assert checkers.environment("overflow")["TRITON_DEBUG"] == "1"
    command = checkers.command("memcheck", tmp_path / "log", "/cuda/compute-sanitizer")
    assert command[:3] == ("/cuda/compute-sanitizer", "--tool", "memcheck")
    assert command[-3:] == checkers.WORKER
    assert f"{tmp_path / 'log'}-%p" in command
    assert checkers.environment("racecheck")["PYTORCH_NO_CUDA_MEMORY_CACHING"] == "1"
    assert checkers.why_not("memcheck", "cpu").startswith("needs CUDA")
    assert checkers.why_not("overflow", "cpu") == ""


CLEAN = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
OUTSIDE = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at {kernel}+0x120 in fused.py:32
========= ERROR SUMMARY: 2 errors
"""
RACE = """========= Error: Race reported between Write access at _rows_kernel+0x90
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""


@pytest.mark.parametrize(
    ("text", "errors", "says"),
    [
        (CLEAN, 0, ""),
        ("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", 0, ""),
        (OUTSIDE.format(kernel="_rows_kernel"), 2, "Invalid __global__ write"),
        (RACE, 1, "_rows_kernel"),
        ("========= Error: Device not supported\n" + CLEAN, None, "does not work here"),
        ("========= COMPUTE-SANITIZER\n", None, "no summary"),
        ("", None, "empty"),
    ],
)
def test_a_sanitizers_log_is_read(text: str, errors: int | None, says: str):
    found = checkers.read(text)
    assert found.errors == errors and says in found.sentence


def test_a_sanitizer_is_believed_only_if_it_found_what_was_planted(tmp_path: Path):
    log = tmp_path / "memcheck.log"
    log.with_name(f"{log.name}-7").write_text(CLEAN)
    log.with_name(f"{log.name}-0.err").write_text("planted_outside")
    found, missed = checkers.read_all(log)
    assert found.errors == 0 and "planted" in missed
    row = cells.judged(Row("triton", checkers.METRIC, value=0.0), "memcheck", found, missed)
    assert (row.status, row.value) == ("not_run", None) and "planted" in row.reason
    log.with_name(f"{log.name}-6").write_text(OUTSIDE.format(kernel="planted_outside"))
    found, missed = checkers.read_all(log)
    assert (found.errors, missed) == (0, "")
    row = cells.judged(Row("triton", checkers.METRIC, value=0.0), "memcheck", found, missed)
    assert (row.status, row.value, row.protocol["control"]) == ("ok", 0.0, "found")
    log.with_name(f"{log.name}-8").write_text(OUTSIDE.format(kernel="_rows_kernel"))
    found, missed = checkers.read_all(log)
    row = cells.judged(Row("triton", checkers.METRIC, value=0.0), "memcheck", found, missed)
    assert (row.status, row.value) == ("worse", 2) and "_rows_kernel" in row.reason


def fake_nvml(**functions: Any) -> Callable:
    @contextmanager
    def opened() -> Iterator[tuple[Any, Any]]:
        constants = {"NVML_CLOCK_SM": 1, "NVML_CLOCK_MEM": 2, "NVML_TEMPERATURE_GPU": 0}
        yield SimpleNamespace(**constants, **functions), "gpu"

    return opened


def watched(opened: Callable, samples: int = 3) -> dict[str, Any]:
    watch = telemetry.Watch(opened, 0.001).start()
    for _ in range(2000):
        if len(watch._samples) >= samples or not watch._thread.is_alive():
            break
        time.sleep(0.001)
    found = watch.take()
    watch.close()
    return found


def test_what_nvml_does_not_report_is_none_and_the_rest_stands():
    clocks = iter([1980, 1500, 1755])

    def broken(gpu: Any) -> int:
        raise RuntimeError("Not Supported")

    found = watched(
        fake_nvml(
            nvmlDeviceGetClockInfo=lambda gpu, kind: next(clocks, 1755) if kind == 1 else 2619,
            nvmlDeviceGetPowerUsage=broken,
            nvmlDeviceGetCurrentClocksThrottleReasons=lambda gpu: 0x05,
        )
    )
    assert found["sm_mhz"] == [1500, 1755, 1980] and found["memory_mhz"][1] == 2619
    assert found["watts"] is None and found["celsius"] is None
    assert found["held_back"] == ["software power cap"]
    assert watched(fake_nvml())["held_back"] is None
    assert watched(nothing) == {"samples": 0, "nvml": telemetry.NO_ANSWER}
    assert telemetry.limits(fake_nvml()) == dict.fromkeys(
        ("most_sm_mhz", "most_memory_mhz", "most_watts")
    )
