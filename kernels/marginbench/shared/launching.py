"""Launches Triton kernels, or records what would be launched.

A recorded launch holds the kernel with exactly the arguments and options that a GPU would get, so
that it can be compiled ahead of time, or run for a few chosen programs, on a machine without one::

    with recorded(architecture="sm_90") as launches:
        operator(embeddings, ...)  # allocates its outputs, launches nothing
"""

from __future__ import annotations

import contextvars
import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from ..checks import InputError
from .architectures import DEFAULT_ARCHITECTURE, DEFAULT_PROCESSORS

INTERPRETED: bool = triton.knobs.runtime.interpret
# Whether a product and a sum may become one instruction that rounds once. Said at every launch, for
# the default of Triton's own setting differs by release; that setting is honoured where it is made.
FP_FUSION: bool = os.environ.get("TRITON_DEFAULT_FP_FUSION", "1").lower() in ("1", "true", "on")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_recorders: list[_Recorder] = []


@dataclass(frozen=True)
class Tile:
    """The block of a product that one program makes: ``rows`` x ``columns``, ``depth`` at a time.

    All three are powers of two, at least 16 as tensor cores ask. ``warps`` and ``stages`` are
    Triton's num_warps and num_stages.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int

    def named(self, rows: str, columns: str, depth: str) -> dict[str, int]:
        """The launch options, the blocks named BLOCK_ and the axis that each runs along."""
        blocks = {rows: self.rows, columns: self.columns, depth: self.depth}
        named = {f"BLOCK_{axis}": size for axis, size in blocks.items()}
        return named | {"num_warps": self.warps, "num_stages": self.stages}


@dataclass(frozen=True)
class Launch:
    """One launch: ``arguments`` by parameter name, num_warps and num_stages among them."""

    kernel: Any
    programs: int
    arguments: Mapping[str, Any]

    def __call__(self) -> None:
        if self.arguments.get("DESCRIPTORS"):
            # In a context of its own: the caller's allocator stays what it is.
            contextvars.copy_context().run(self._with_memory)
        else:
            self._run()

    def _with_memory(self) -> None:
        triton.set_allocator(_memory)
        self._run()

    def _run(self) -> None:
        self.kernel[(self.programs,)](**self.arguments)


def _memory(size: int, alignment: int, stream: int | None) -> Tensor:
    """Where the programs of a launch keep their tensor descriptors."""
    return torch.empty(size, dtype=torch.int8, device="cuda")


def launch(kernel: Any, programs: int, /, **arguments: Any) -> None:
    """Run ``programs`` programs of a kernel on its tensors' device, or record that."""
    entry = Launch(kernel, programs, {"enable_fp_fusion": FP_FUSION, **arguments})
    if _recorders:
        recorder = _recorders[-1]
        recorder.launches.append(entry if recorder.held else Launch(kernel, programs, {}))
    elif not INTERPRETED and torch.cuda.is_current_stream_capturing():
        with _compiling_nothing():
            entry()
    else:
        entry()


@contextmanager
def _compiling_nothing() -> Iterator[None]:
    """Inside, a kernel that this thread would have to compile is refused: its module can't be
    loaded while a CUDA graph is captured. `tuning` refuses most of them sooner, by operator; this
    is for the rest, such as a call with a bias after one without."""
    runtime = triton.knobs.runtime
    before = runtime.jit_cache_hook

    def refuse(*, repr: str, **more: Any) -> bool | None:
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"{repr.partition('[')[0]}: not compiled in this process for such arguments before "
                "the capture of a CUDA graph, and can't be inside one; run the same call once, "
                "forward and backward, before capturing (warm up)"
            )
        return before(repr=repr, **more) if before else None  # another thread's

    runtime.jit_cache_hook = refuse
    try:
        yield
    finally:
        runtime.jit_cache_hook = before


@dataclass(frozen=True)
class _Recorder:
    architecture: str
    processors: int
    launches: list[Launch]
    held: bool


@contextmanager
def recorded(
    architecture: str = DEFAULT_ARCHITECTURE,
    *,
    processors: int = DEFAULT_PROCESSORS,
    held: bool = True,
) -> Iterator[list[Launch]]:
    """Inside, nothing runs: the list gets every launch. Outputs stay uninitialised.

    ``architecture`` (``sm_80``, ``sm_90``, ``sm_100``, ``gfx942``) is the GPU to choose tiles for,
    ``processors`` how many share the programs of a launch there.
    Without ``held`` the launches come without their arguments, so that every tensor is released
    when it would be on a GPU: for who counts memory.
    """
    recorder = _Recorder(architecture, processors, [], held)
    _recorders.append(recorder)
    try:
        yield recorder.launches
    finally:
        _recorders.pop()


def recording() -> bool:
    """Whether launches are recorded instead of run."""
    return bool(_recorders)


def architecture(device: torch.device) -> str:
    """What tiles are chosen for: a recording's architecture, else that of the GPU (``sm_90``,
    ``gfx942``), else `DEFAULT_ARCHITECTURE`."""
    if _recorders:
        return _recorders[-1].architecture
    return _architecture_of(device) if device.type == "cuda" else DEFAULT_ARCHITECTURE


@functools.cache
def _architecture_of(device: torch.device) -> str:
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip:
        return str(properties.gcnArchName).split(":")[0]
    return f"sm_{properties.major}{properties.minor}"


def check_fused(embeddings: Tensor, name: str = "embeddings") -> None:
    """Raise InputError where no kernel is made for the dtype or can run on the device."""
    if embeddings.dtype not in _DTYPES:
        raise InputError(name, "dtype float32, bfloat16 or float16", embeddings.dtype)
    if not (embeddings.is_cuda or INTERPRETED or _recorders):
        raise InputError(name, "a CUDA tensor (or TRITON_INTERPRET=1)", embeddings.device)


def row_major(matrix: Tensor) -> Tensor:
    """The matrix with its columns side by side; rows may lie any stride apart.

    A row slice or a column range is used where it lies; any other layout is copied.
    """
    return matrix if matrix.stride(-1) == 1 or matrix.shape[-1] == 1 else matrix.contiguous()


def processors(device: torch.device) -> int:
    """How many processors share the programs of a launch: as many as a recording says; 2 where
    there is neither one nor a GPU."""
    if _recorders:
        return _recorders[-1].processors
    return _processors_of(device) if device.type == "cuda" else 2


@functools.cache
def _processors_of(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


def product_precision(dtype: torch.dtype) -> str:
    """``ieee``, or ``tf32`` for float32 where torch allows it (torch.backends.cuda.matmul)."""
    if dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision == "tf32":
        return "tf32"
    return "ieee"


def blocks(length: int, block: int) -> int:
    """How many blocks cover a length."""
    return -(-length // block)


def power_of_two(length: int, low: int, high: int) -> int:
    """The smallest power of two at or above ``length``, within [low, high]."""
    return min(high, max(low, triton.next_power_of_2(length)))
