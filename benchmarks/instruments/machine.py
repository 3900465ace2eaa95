"""What this machine is, what it can measure, and why not the rest.

Facts come in two classes. ``identity``: where it differs, timed figures are not compared.
``information`` helps to read the figures (load, clocks, temperature) and never bars a comparison.
torch is imported only where a GPU is asked about.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("torch", "triton", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Python and the packages that figures depend on; "not installed" where one is missing."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@functools.cache
def identity() -> dict[str, Any]:
    """What makes two machines the same for a timed comparison; equal on every call."""
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "memory_gib": round(_meminfo("MemTotal") / 2**30),
        "os": f"{platform.system()} {platform.machine()}, {_distribution()}",
        "versions": versions(),
        "gpu": "none",
    }
    if missing("cuda"):
        return facts
    import torch

    facts["gpu"] = torch.cuda.get_device_name()
    facts["gpu_memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    facts["cuda"] = torch.version.cuda or f"ROCm {torch.version.hip}"
    with nvml() as (library, _):
        facts["driver"] = str(library.nvmlSystemGetDriverVersion()) if library else "unknown"
    return facts


def information() -> dict[str, Any]:
    """The machine's state now; None for what it does not report."""
    facts: dict[str, Any] = {
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "memory_available_gib": round(available_memory() / 2**30, 1),
        "cpu_governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "cpu_mhz": _megahertz(),
        "transparent_huge_pages": _chosen(_read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "environment": {
            name: os.environ[name]
            for name in (
                "OMP_NUM_THREADS",
                "MKL_NUM_THREADS",
                "CUDA_VISIBLE_DEVICES",
                "TRITON_DEFAULT_FP_FUSION",
            )
            if name in os.environ
        },
    }
    import torch

    facts["torch_threads"] = torch.get_num_threads()
    if not missing("triton"):
        from marginbench.shared.launching import FP_FUSION

        facts["triton_fp_fusion"] = FP_FUSION
    if missing("cuda"):
        return facts
    facts["tf32"] = torch.get_float32_matmul_precision() != "highest"
    with nvml() as (nv, gpu):
        if nv:
            facts["gpu_celsius"] = nv.nvmlDeviceGetTemperature(gpu, nv.NVML_TEMPERATURE_GPU)
            facts["gpu_sm_mhz"] = nv.nvmlDeviceGetClockInfo(gpu, nv.NVML_CLOCK_SM)
            facts["gpu_percent_used"] = nv.nvmlDeviceGetUtilizationRates(gpu).gpu
    return facts


def name() -> str:
    """The machine in one phrase."""
    facts = identity()
    gpu = "" if facts["gpu"] == "none" else f", {facts['gpu']}"
    return f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']:g} GiB{gpu}"


@functools.cache
def missing(need: str) -> str | None:
    """Why a contender's need is not met here, or None if it is.

    ``need`` is "cuda", "hopper", "triton", "compiler" or "package:NAME" (NAME as it is imported);
    raises ValueError for another.
    """
    if need == "cuda":
        return _missing_cuda()
    if need == "hopper":
        return _missing_cuda() or _older_than_hopper()
    if need == "triton":
        there = importlib.util.find_spec("triton")
        return None if there else "needs Triton: it is not installed"
    if need == "compiler":
        return None if _compiler() else "needs a C++ compiler: none of c++, g++, clang++ is on PATH"
    kind, _, package = need.partition(":")
    if kind == "package" and package:
        there = importlib.util.find_spec(package)
        return None if there else f"needs the package {package}: it is not installed"
    raise ValueError(f"need: expected cuda, hopper, triton, compiler or package:NAME; got {need!r}")


def _missing_cuda() -> str | None:
    if not importlib.util.find_spec("torch"):
        return "needs CUDA: torch is not installed"
    import torch

    if torch.cuda.is_available():
        return None
    if not (torch.version.cuda or torch.version.hip):
        return f"needs CUDA: torch {torch.__version__} is built without it"
    return "needs CUDA: torch finds no GPU"


def _older_than_hopper() -> str | None:
    import torch

    if torch.version.hip:
        return "needs an NVIDIA GPU of compute capability 9.0 or newer: this one is AMD's"
    found = torch.cuda.get_device_capability()
    if found >= (9, 0):
        return None
    return f"needs compute capability 9.0 or newer: this GPU has {found[0]}.{found[1]}"


def _compiler() -> str | None:
    for candidate in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if candidate and shutil.which(candidate):
            return shutil.which(candidate)
    return None


@functools.cache
def commit() -> tuple[str, bool]:
    """The commit of this tree, and whether anything in it differs from that commit.

    ("unknown", True) without git or outside a clone: then nothing shows that it is clean.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "unknown", True
    changes = _git("status", "--porcelain")
    return head.strip(), changes is None or bool(changes.strip())


def _git(*arguments: str) -> str | None:
    try:
        # A clone inside another repository's folder is not that repository.
        environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
        result = subprocess.run(
            ["git", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def doctor() -> dict[str, dict[str, Any]]:
    """What this machine can measure and what it can't, as titled tables of plain facts."""
    from marginbench import catalogue

    head, dirty = commit()
    cuda, compiler = missing("cuda"), missing("compiler")
    facts = identity()
    tables: dict[str, dict[str, Any]] = {
        "machine": {k: v for k, v in facts.items() if k != "versions"},
        "versions": {**facts["versions"], "commit": head, "uncommitted changes": dirty},
        "can measure": {
            "agreement on cpu": "yes",
            "speed on cpu": "yes",
            "memory on cpu": "yes: bytes from the allocator's own events",
            "speed and memory on cuda": _answer(cuda),
            "torch.compile": _answer(compiler),
            "Triton kernels": _triton_answer(cuda),
        },
        "contenders": {},
        "now": information(),
    }
    for loss in catalogue.losses():
        for variant in loss.variants:
            for contender in variant.contenders:
                unmet = next(filter(None, map(missing, contender.needs)), None)
                tables["contenders"].setdefault(contender.name, _answer(unmet))
    for failure in catalogue.failures():
        tables.setdefault("losses that fail to import", {})[failure.name] = failure.reason
    return tables


def _answer(unmet: str | None) -> str:
    return f"no: {unmet}" if unmet else "yes"


def _triton_answer(cuda: str | None) -> str:
    if missing("triton"):
        return _answer(missing("triton"))
    return f"agreement alone, in Triton's interpreter; speed {cuda}" if cuda else "yes"


def available_memory() -> int:
    """Bytes that can be taken without swapping; never above what a container may use."""
    free = _meminfo("MemAvailable")
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    if limit and limit.isdigit() and used and used.isdigit():
        free = min(free, max(0, int(limit) - int(used)))
    return free


def _meminfo(field: str) -> int:
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    """The model with family, model and stepping: some virtual machines name every CPU alike."""
    fields: dict[str, str] = {}
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine()
    numbers = [fields.get(key, "") for key in ("cpu family", "model", "stepping")]
    return f"{model} ({'/'.join(numbers)})" if all(numbers) else model


def _megahertz() -> float | None:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("cpu MHz"):
            return round(float(line.split(":")[1]), 1)
    return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown distribution")
    except OSError:
        return "unknown distribution"


def _chosen(options: str | None) -> str | None:
    """``madvise`` of ``always [madvise] never``."""
    return options.partition("[")[2].partition("]")[0] if options and "[" in options else options


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


@contextmanager
def nvml() -> Iterator[tuple[Any, Any]]:
    """NVIDIA's management library and the GPU that torch uses, or (None, None)."""
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
        gpu = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except Exception:  # no driver, an AMD GPU, or an older library
        yield None, None
        return
    try:
        yield pynvml, gpu
    finally:
        pynvml.nvmlShutdown()
