"""Chooses the implementation that computes a loss: one by name, or ``auto``, the fastest.

``auto`` takes Triton on a CUDA device where the dtype has a kernel; on a CPU eager, or tiled from
the size on at which the suite measured it as the faster one in that dtype (`Files.tiled_from`);
elsewhere eager.
No GPU has been measured yet: that Triton is the fastest there is an expectation.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .checks import FLOATS, InputError, check_choice, check_whole

#: What ``implementation`` may be; each but ``auto`` is a file of a loss's folder.
IMPLEMENTATIONS = ("auto", "triton", "tiled", "eager", "reference")
WITHOUT_TILED = ("auto", "triton", "eager", "reference")
#: The device of tensors that have a shape and no numbers: nothing can be computed there.
WITHOUT_DATA = "meta"
_KERNEL_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def from_logits(*, float32: int, bfloat16: int, float64: int) -> Mapping[torch.dtype, int]:
    """`Files.tiled_from`. PyTorch's float16 products are slow on a CPU at every size; tiled makes
    them in float32."""
    return {
        torch.float32: float32,
        torch.bfloat16: bfloat16,
        torch.float64: float64,
        torch.float16: 0,
    }


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _automatic(files: Files, device: str, dtype: torch.dtype, logits: int) -> str:
    fused = files.fused is not None and dtype in _KERNEL_DTYPES
    if device == "cuda" and fused and _has_triton():
        return "triton"
    if files.tiled is None or device != "cpu":
        return "eager"
    # torch.compile can't see into the threads of tiled.
    if torch.compiler.is_compiling():
        return "eager"
    start = files.tiled_from.get(dtype)
    return "eager" if start is None or logits < start else "tiled"


def automatic(files: Files, name: str) -> Callable[..., Any]:
    """The function ``name`` of a loss's folder in whatever ``auto`` takes, called by keywords as
    an implementation is: how the suite measures it."""

    @functools.wraps(getattr(files.eager, name))
    def chosen(**arguments: Any) -> Any:
        first = next(one for one in arguments.values() if isinstance(one, Tensor))
        called = files.function(name, "auto", first, arguments.get("class_weights"))
        return called(**arguments)

    return chosen


def which(
    loss: str,
    *,
    batch: int,
    classes: int = 0,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> str:
    """The implementation that ``auto`` would take for a loss at a size; whether such a device is
    there is not asked.

    >>> from marginbench import which
    >>> which("softmax", batch=512, classes=1_000), which("softmax", batch=512, classes=100_000)
    ('eager', 'tiled')

    Arguments:
        loss: the loss's name, such as ``softmax`` or ``triplet``.
        batch: B, the embeddings of a batch.
        classes: C, the class weights: needed for a loss that has some, 0 for one without.
        device, dtype: of the embeddings; by default float32 on the CPU.

    Returns:
        ``triton``, ``tiled`` or ``eager``.

    Raises:
        UnknownName (a KeyError): no loss has that name.
        InputError: names the argument, what was expected and what came.
    """
    from . import catalogue

    batch, classes = check_whole("batch", batch, 1), check_whole("classes", classes, 0)
    check_choice("dtype", dtype, FLOATS)
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError) as error:
        raise InputError(
            "device", "a device of torch, such as 'cpu' or 'cuda:0'", repr(device)
        ) from error
    if not isinstance(loss, str):
        raise InputError("loss", "a loss's name, such as 'softmax'", repr(loss))
    files = importlib.import_module(".functional", catalogue.get(loss).package).FILES
    if files.tiled is not None and not classes:
        raise InputError("classes", f"how many class weights {loss} has, from 1 on", 0)
    return _automatic(files, kind, dtype, batch * classes)


def checked(implementation: str, offered: tuple[str, ...] = IMPLEMENTATIONS) -> str:
    """``implementation`` if it is one of ``offered``; else InputError."""
    check_choice("implementation", implementation, offered)
    return implementation


@dataclass(frozen=True)
class Files:
    """The files of a loss's folder that compute it: where `function` finds an implementation.

    ``fused`` returns the file of kernels, so that Triton is imported where it is used (as a
    function, for torch.compile follows an import statement alone). It and ``tiled`` are None where
    a loss has no such form. From ``tiled_from`` logits (B x C) on, by dtype, tiled is the fastest
    on a CPU, as `python -m reports.auto` reads it off the published records.
    """

    eager: ModuleType
    reference: ModuleType
    fused: Callable[[], ModuleType] | None = None
    tiled: ModuleType | None = None
    tiled_from: Mapping[torch.dtype, int] = field(default_factory=dict)

    @property
    def offered(self) -> tuple[str, ...]:
        """What ``implementation`` may be for this loss."""
        there = {"triton": self.fused is not None, "tiled": self.tiled is not None}
        return tuple(one for one in IMPLEMENTATIONS if there.get(one, True))

    def function(
        self,
        name: str,
        implementation: str,
        embeddings: Tensor,
        class_weights: Tensor | None = None,
    ) -> Callable[..., Any]:
        """The function ``name`` in the implementation that is given; the shapes of embeddings
        (B x D) and class weights (C x D) give the size. Raises InputError where there is none."""
        if isinstance(embeddings, Tensor) and embeddings.device.type == WITHOUT_DATA:
            raise InputError("embeddings", "a tensor with data", f"one on {embeddings.device}")
        if implementation == "auto":
            implementation = self._automatic(embeddings, class_weights)
        else:
            checked(implementation, self.offered)
        # Eager first: what comes before a call counts where a call takes a tenth of a millisecond.
        if implementation == "eager":
            return getattr(self.eager, name)
        if implementation == "triton" and self.fused is not None:
            if not _has_triton():
                raise InputError("implementation", "Triton to be installed", "'triton'")
            return getattr(self.fused(), name)
        return getattr(self.tiled if implementation == "tiled" else self.reference, name)

    def _automatic(self, embeddings: Tensor, class_weights: Tensor | None) -> str:
        if not isinstance(embeddings, Tensor):
            raise InputError("embeddings", "a tensor", type(embeddings).__name__)
        logits = 0
        if isinstance(class_weights, Tensor) and embeddings.ndim and class_weights.ndim:
            logits = embeddings.shape[0] * class_weights.shape[0]
        return _automatic(self, embeddings.device.type, embeddings.dtype, logits)
