"""A launch as plain data: everything that decides what the kernel compiles to, and no more.

Tensors become their dtype and alignment, and a run-time integer one that Triton specializes for
alike (equal to 1, a multiple of 16, wider than 32 bits). So two launches with equal
specializations run the same code, and a specialization travels to another process, or to a file.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import dataclass
from typing import Any

_ALIGNMENT = 16
_OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion", "maxnreg")


@dataclass(frozen=True)
class Pointer:
    """A tensor as a compiler sees it: torch's name of its dtype; ``aligned`` to 16 bytes;
    ``wide`` where its storage is too large for a 32-bit range of bytes."""

    type: str
    aligned: bool
    wide: bool

    @property
    def dtype(self) -> Any:
        import torch

        return getattr(torch, self.type)

    def data_ptr(self) -> int:
        return 0 if self.aligned else 4

    def ptr_range(self) -> int:
        return 2**31 if self.wide else 0

    def __str__(self) -> str:
        return f"{self.type}{'' if self.aligned else ':unaligned'}{':wide' if self.wide else ''}"


@dataclass(frozen=True)
class Function:
    """A @triton.jit function, by the module that holds it and its name there."""

    module: str
    name: str

    @property
    def short(self) -> str:
        """``a_softmax.fused.angular_margin``: without the package of this tree."""
        return f"{self.module.partition('.')[2]}.{self.name}"

    def load(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name)

    def __str__(self) -> str:
        return self.short


@dataclass(frozen=True)
class Specialization:
    """``arguments`` in the kernel's order, then the options; ``constants`` names those that the
    kernel is compiled for."""

    kernel: Function
    arguments: tuple[tuple[str, Any], ...]
    constants: frozenset[str]

    @property
    def text(self) -> str:
        """The arguments in one line; with the kernel's name it identifies the specialization."""
        return " ".join(f"{name}={value}" for name, value in self.arguments)

    @property
    def dtype(self) -> str:
        """The dtype of the first tensor, which by the kernels' custom is what they work on."""
        return next((v.type for _, v in self.arguments if isinstance(v, Pointer)), "")

    @property
    def aligned(self) -> bool:
        """Whether it takes matrices and all their rows begin at multiples of 16 elements."""
        strides = [v for name, v in self.arguments if name in ("x_stride", "w_stride", "D")]
        pointers = [v for _, v in self.arguments if isinstance(v, Pointer)]
        return bool(strides) and all(v % _ALIGNMENT == 0 for v in strides) and all(
            pointer.aligned for pointer in pointers
        )  # fmt: skip

    @property
    def product(self) -> bool:
        """Whether it multiplies matrices: then it has a constant for the precision."""
        return "PRECISION" in self.constants

    def keywords(self) -> dict[str, Any]:
        """What to hand to the kernel's ``run``."""
        return {
            name: value.load() if isinstance(value, Function) else value
            for name, value in self.arguments
        }

    def source_key(self) -> str:
        """Changes with the source of the kernel and of all that it calls."""
        functions = [self.kernel, *(v for _, v in self.arguments if isinstance(v, Function))]
        keys = json.dumps([function.load().cache_key for function in functions])
        return hashlib.sha256(keys.encode()).hexdigest()


def specialization(launch: Any) -> Specialization:
    """What the kernel is compiled for by a `marginbench.shared.launching.Launch`."""
    kernel, given = launch.kernel, launch.arguments
    constants = frozenset(p.name for p in kernel.params if p.is_constexpr)
    names = [name for name in kernel.arg_names if name in given]
    options = [name for name in _OPTIONS if name in given]
    unknown = set(given) - set(names) - set(options)
    assert not unknown, (
        f"{kernel.__name__}: options that no specialization knows: {sorted(unknown)}"
    )
    arguments = tuple(
        (name, _plain(given[name], constant=name in constants or name in options))
        for name in (*names, *options)
    )
    return Specialization(_function(kernel), arguments, constants)


def _function(kernel: Any) -> Function:
    return Function(kernel.fn.__module__, kernel.fn.__name__)


def _plain(value: Any, *, constant: bool) -> Any:
    if hasattr(value, "data_ptr"):
        name = str(value.dtype).rpartition(".")[2]
        wide = value.untyped_storage().size() >= 2**31
        return Pointer(name, value.data_ptr() % _ALIGNMENT == 0, wide)
    if hasattr(value, "cache_key"):
        return _function(value)
    if constant or value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return 0.0
    return value if value == 1 else _like(value)


def _like(value: int) -> int:
    """The integer that stands for all that are specialized for as this one is."""
    wide = 0 if -(2**31) <= value < 2**31 else 2**40
    return wide + (_ALIGNMENT if value % _ALIGNMENT == 0 else _ALIGNMENT + 1)
