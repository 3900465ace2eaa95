"""Checks of input: an error names the argument, what was expected, and what came.

Range and finiteness need the values, so they are checked on the CPU alone, where reading them
needs no synchronisation. On a GPU nothing is read out of bounds: a label out of range or a NaN
makes the loss NaN instead (eager PyTorch raises its own device-side assertion for such labels).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .loss import REDUCTIONS
from .spelling import meant

#: For PyTorch's cross_entropy, which drops rows of the label -100 unless another is given.
NO_LABEL = torch.iinfo(torch.int64).min
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class InputError(ValueError):
    """An argument that the definition does not cover."""

    def __init__(self, argument: str, expected: str, got: object) -> None:
        super().__init__(f"{argument}: expected {expected}; got {got}")


def check_matrix(
    name: str,
    tensor: Tensor,
    like: Tensor | None = None,
    of: str = "embeddings",
    *,
    empty: bool = False,
) -> None:
    """A float matrix, which has rows unless it may be ``empty``; with ``like``, whose name is
    ``of``, of its width, dtype and device too."""
    if not isinstance(tensor, Tensor):
        raise InputError(name, "a tensor", type(tensor).__name__)
    if tensor.ndim != 2 or tensor.shape[1] == 0 or (tensor.shape[0] == 0 and not empty):
        expected = "a matrix (rows x D)" if empty else "a non-empty matrix (rows x D)"
        raise InputError(name, expected, f"shape {tuple(tensor.shape)}")
    if tensor.dtype not in FLOATS:
        raise InputError(name, "a floating-point dtype", tensor.dtype)
    if like is not None:
        check_width(name, tensor, like, of)
        check_same(name, tensor, like, of)


def check_width(name: str, tensor: Tensor, like: Tensor, of: str = "embeddings") -> None:
    """As many columns as ``like``, whose name is ``of``."""
    if tensor.shape[1] != like.shape[1]:
        raise InputError(
            name, f"{like.shape[1]} columns as {of} have", f"shape {tuple(tensor.shape)}"
        )


def check_same(name: str, tensor: Tensor, like: Tensor, of: str = "embeddings") -> None:
    """The dtype and device of ``like``, whose name is ``of``."""
    if tensor.dtype != like.dtype:
        raise InputError(name, f"dtype {like.dtype} as {of} have", tensor.dtype)
    check_device(name, tensor, like, of)


def check_device(name: str, tensor: Tensor, like: Tensor, of: str = "embeddings") -> None:
    """The device of ``like``, whose name is ``of``."""
    if tensor.device != like.device:
        raise InputError(name, f"device {like.device} as {of} have", tensor.device)


def check_labels(name: str, labels: Tensor, like: Tensor, classes: int | None = None) -> None:
    """int64 labels, one a row of ``like``; on the CPU, each in [0, classes), or >= 0 without."""
    check_label_rows(name, labels, like)
    if labels.device.type != "cpu" or torch.compiler.is_compiling() or not len(labels):
        return
    lowest, highest = (int(v) for v in labels.aminmax())
    if lowest < 0 or (classes is not None and highest >= classes):
        bound = f"[0, {classes})" if classes is not None else "[0, 2^63)"
        raise InputError(name, f"every label in {bound}", lowest if lowest < 0 else highest)


def check_label_rows(name: str, labels: Tensor, like: Tensor) -> None:
    """int64 labels, one a row of ``like``, whatever their values."""
    _check_each_row(name, labels, torch.int64, like)


def _check_each_row(name: str, tensor: Tensor, dtype: torch.dtype, like: Tensor) -> None:
    """A vector of that dtype, one a row of ``like``."""
    if not isinstance(tensor, Tensor):
        raise InputError(name, "a tensor", type(tensor).__name__)
    if tensor.dtype != dtype:
        raise InputError(name, f"dtype {dtype}", tensor.dtype)
    if tensor.shape != like.shape[:1]:
        raise InputError(name, f"shape ({like.shape[0]},)", f"shape {tuple(tensor.shape)}")
    if tensor.device != like.device:
        raise InputError(name, f"the embeddings' device {like.device}", tensor.device)


def as_int64(labels: Any) -> Any:
    """int64 or int32 labels as int64: callers may use either, implementations take int64 alone.
    Anything but a tensor is returned as it is: `check_labels` refuses it."""
    if not isinstance(labels, Tensor) or labels.dtype == torch.int64:
        return labels
    if labels.dtype != torch.int32:
        raise InputError("labels", "dtype torch.int64 or torch.int32", labels.dtype)
    return labels.long()


def check_sizes(name: str, tensor: Tensor, sizes: tuple[int, ...], like: Tensor) -> None:
    """A float tensor of these ``sizes`` (none: a single number), and of the dtype and device of
    ``like``."""
    if not isinstance(tensor, Tensor):
        raise InputError(name, "a tensor", type(tensor).__name__)
    if tensor.shape != sizes:
        raise InputError(name, f"shape {tuple(sizes)}", f"shape {tuple(tensor.shape)}")
    check_same(name, tensor, like)


def check_memory(memory: Tensor, memory_labels: Tensor, embeddings: Tensor) -> None:
    """What past steps embedded, with labels; none yet at a training's first step."""
    check_matrix("memory", memory, like=embeddings, empty=True)
    check_labels("memory_labels", memory_labels, memory)
    check_finite(memory=memory)


def check_finite(**tensors: Tensor | None) -> None:
    """No NaN or infinity; checked on the CPU alone, in one pass without a temporary."""
    if torch.compiler.is_compiling():
        return
    for name, tensor in tensors.items():
        if tensor is None or tensor.device.type != "cpu" or not tensor.numel():
            continue
        lowest, highest = tensor.detach().aminmax()
        # As Python's numbers: on small inputs torch's own test takes longer than the pass.
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            bad = int((~torch.isfinite(tensor.detach())).sum())
            raise InputError(name, "finite values", f"{bad} that are NaN or infinite")


def check_number(
    name: str, value: float, low: float, *, strict: bool = False, high: float = float("inf")
) -> float:
    """Python's own of a finite number at or (``strict``) above ``low``, and at most ``high``;
    numbers of other packages are taken too, such as NumPy's."""
    # Python's first: asking for a `numbers.Real` takes longer.
    fine = isinstance(value, (float, int, numbers.Real)) and not isinstance(value, bool)
    fine = fine and (value > low if strict else value >= low)
    if not fine or value > high or value == float("inf"):
        bound = "" if high == float("inf") else f" and <= {high:g}"
        expected = f"a finite number {'>' if strict else '>='} {low:g}{bound}"
        raise InputError(name, expected, repr(value))
    return int(value) if isinstance(value, (int, numbers.Integral)) else float(value)


def check_whole(name: str, value: int, low: int) -> int:
    """Python's own of a whole number from ``low`` on."""
    if not is_whole(value) or value < low:
        raise InputError(name, f"a whole number from {low} on", repr(value))
    return int(value)


def is_whole(value: object) -> bool:
    """Whether it is a whole number, of Python or of another package; True and False are not."""
    return isinstance(value, (int, numbers.Integral)) and not isinstance(value, bool)


def check_choice(name: str, value: Any, known: Iterable[Any]) -> None:
    """One of ``known``; an error names the nearest."""
    known = tuple(known)
    if value not in known:
        expected = f"one of {', '.join(map(str, known))}"
        raise InputError(name, expected, f"{value!r}{meant(value, known)}")


def check_rows(name: str, tensor: Tensor, like: Tensor) -> None:
    """As many rows as the class weights have."""
    if tensor.shape[0] != like.shape[0]:
        raise InputError(
            name, f"{like.shape[0]} rows as class_weights have", f"shape {tuple(tensor.shape)}"
        )


def check_reduction(reduction: str) -> None:
    check_choice("reduction", reduction, REDUCTIONS)


def check_head(
    embeddings: Tensor, labels: Tensor, class_weights: Tensor, bias: Tensor | None = None
) -> None:
    """Checks the arguments of every head over class weights. Where the two do not go together it
    names the embeddings: these change from step to step."""
    check_matrix("class_weights", class_weights)
    check_matrix("embeddings", embeddings, like=class_weights, of="class_weights")
    check_labels("labels", labels, embeddings, classes=class_weights.shape[0])
    if bias is not None:
        check_sizes("bias", bias, class_weights.shape[:1], like=embeddings)
    check_finite(embeddings=embeddings, class_weights=class_weights, bias=bias)


def check_partner(name: str, tensor: Tensor, like: Tensor) -> None:
    """A float matrix of the same shape, dtype and device as ``like``, row for row its partner."""
    check_matrix(name, tensor, like=like)
    if tensor.shape != like.shape:
        raise InputError(name, f"shape {tuple(like.shape)}", f"shape {tuple(tensor.shape)}")


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Checks the arguments of every loss over a labelled batch."""
    check_matrix("embeddings", embeddings)
    check_labels("labels", labels, embeddings)
    check_finite(embeddings=embeddings)


def check_pairs(embeddings_a: Tensor, embeddings_b: Tensor, different: Tensor) -> None:
    """Checks the arguments of every loss over explicit pairs."""
    check_matrix("embeddings_a", embeddings_a)
    check_partner("embeddings_b", embeddings_b, like=embeddings_a)
    _check_each_row("different", different, torch.bool, embeddings_a)
    check_finite(embeddings_a=embeddings_a, embeddings_b=embeddings_b)


def check_triplets(anchor: Tensor, positive: Tensor, negative: Tensor) -> None:
    """Checks the arguments of every loss over explicit triplets."""
    check_matrix("anchor", anchor)
    check_partner("positive", positive, like=anchor)
    check_partner("negative", negative, like=anchor)
    check_finite(anchor=anchor, positive=positive, negative=negative)
