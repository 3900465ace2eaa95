"""Programs far beyond 2^31 elements, without the memory: what lies there is mapped, not touched.

`launches` runs a loss's own host code on inputs of 4,300,000 x 512 and the like, records what it
would launch, and computes nothing on the way: an operation on a large tensor gives an empty one
of the right shape (asked of torch's meta device), and an empty tensor is zeros that the system
provides page by page as they are touched. A few programs of each launch, the last one among them,
are then run by the sanitizer (`run_program`).
"""

from __future__ import annotations

import dataclasses
import itertools
import mmap
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from triton.runtime import interpreter

from marginbench.fields import Field, sized
from marginbench.inputs import Batch, completed
from marginbench.loss import Loss, Shape, Variant

from .. import library

# Operations on tensors of more elements than these are not carried out.
LARGE = 1 << 27
FAR = 1 << 31
# Launches on a batch differ between float32 and 16 bits; elsewhere only the tiles do.
DTYPES = {"head": ("float32",), "batch": ("float32", "float16"), "rows": ("float32",)}
# Rows of so few elements together (see `sparse`) lie this many apart, so that they pass 2^31.
FEW, APART = 10_000, 1 << 22
# For how many processors work is split: for few, as on the CPU, so that a kernel over the parts has
# few of them; for so many that a part is about a block, and a grid still has under 2^31 programs.
PROCESSORS = (2, 500_000_000)
# How many work items a kernel has whose programs take them by tickets.
ITEMS = "items"
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
# What is provided page by page is zeros, so these are exact.
_EMPTY = {
    "empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided",
    "zeros", "new_zeros", "zeros_like",
}  # fmt: skip

# By family: what passes 2^31 elements. D = 512 is the widest embedding in use. A program that adds
# up over rows or shares must get there within `patience`, so some shapes have few of those.
# Where possible the last element lies below 2^32: beyond that, a 32-bit offset would wrap around to
# the first elements.
SHAPES = {
    # The class weights, the partial sums of dX; then the embeddings and the coefficients; then the
    # same two for programs that pass all rows.
    "head": (Shape(65, 512, 4_300_000), Shape(4_300_000, 512, 129), Shape(34_000_000, 1, 65),
             Shape(2_100, 2, 1_100_000)),
    # The embeddings, their gradient, shares; B x B, partial sums; few embeddings far apart.
    "batch": (Shape(4_300_000, 512, 2_150_000), Shape(46_400, 48, 23_200), Shape(1_000, 2, 500)),
    # Either side's rows, their gradients, the centers.
    "rows": (Shape(4_300_000, 512, 4_300_000),),
}  # fmt: skip
_VIEW_OR_COPY = {"to", "contiguous", "reshape"}


class TooLarge(RuntimeError):
    """A tensor doesn't fit the address space, such as B x B of 4,300,000 embeddings."""


def sparse(shape: Shape) -> bool:
    """Whether the rows lie `APART`."""
    return shape.batch * shape.dim < FEW


def patience(shape: Shape) -> int:
    """How many accesses a program may make; one that makes more is left to another shape. 500
    shares of 4,300,000 rows, in four tensors, pass 2^31; where B x B does, a program that meets
    every column is let run."""
    return 7000 if FAR < shape.batch**2 < 2 * FAR else 2100


def lazily(size: Any, dtype: torch.dtype, stride: Any = None) -> Tensor:
    """A tensor of zeros (contiguous, or of that stride) that takes no memory until it's touched."""
    size = tuple(size)
    stride = tuple(stride) if stride is not None else torch.empty(size, device="meta").stride()
    count = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
    if count * dtype.itemsize < 1 << 20:
        return torch.zeros(max(count, 1), dtype=dtype).as_strided(size, stride)
    if count * dtype.itemsize > 1 << 44:
        raise TooLarge(f"expected at most 2^44 bytes; got {tuple(size)} {dtype}")
    pages = mmap.mmap(
        -1, count * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    )
    return torch.frombuffer(pages, dtype=dtype, count=count).as_strided(size, stride)


class _Lazy(TorchDispatchMode):
    """Carries out small operations; of large ones, finds only the shape."""

    def __init__(self) -> None:
        super().__init__()
        known = torch._library.custom_ops.OPDEFS.values()
        self._launchers = {known_as._opoverload: known_as._init_fn for known_as in known}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in self._launchers:
            with self:
                return self._launchers[func](*args, **kwargs)
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        name = func.overloadpacket.__name__
        view = func.is_view and name not in _VIEW_OR_COPY
        if name not in _EMPTY and (view or all(t.numel() <= LARGE for t in tensors)):
            return func(*args, **kwargs)
        args, kwargs = tree_map_only(Tensor, _shape_of, (args, kwargs))
        if "device" in kwargs or not tensors:
            kwargs["device"] = "meta"
        shapes = func(*args, **kwargs)
        return tree_map_only(Tensor, lambda t: lazily(t.shape, t.dtype, t.stride()), shapes)


def _shape_of(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


@contextmanager
def _splitting(package: str, many: int, whole: bool) -> Iterator[None]:
    """Work is split for that many processors (with many, each program's share is one block); if
    ``whole``, the backward pass takes all classes at a time, whatever scratch that needs."""
    standing: dict[str, Any] = {"processors": lambda _: many}
    if whole:
        standing["SCRATCH_BYTES"] = (1 << 40, 1 << 40)
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            for known in standing:
                if name.startswith(f"{package}.") and hasattr(module, known):
                    stack.enter_context(mock.patch.object(module, known, standing[known]))
        yield


def batch_of(shape: Shape, dtype: torch.dtype) -> Batch:
    """Zeros (or, if few, doubles); labels that rise from class to class, the last row alone
    in its class, or are all the last."""
    B, D, C = shape.batch, shape.dim, shape.classes
    labels = torch.arange(B) * (C - 1) // max(B - 1, 1) if B >= C else torch.full((B,), C - 1)
    stride = (APART, 1) if sparse(shape) else None
    rows = [lazily((B, D), dtype, stride) for _ in range(3)]
    if stride is not None:
        # Every other row is its neighbour's double: kernels look at such pairs again.
        drawn = torch.randn(B, D, generator=torch.Generator().manual_seed(0))
        rows[0].copy_(drawn[torch.arange(B) // 2])
    return Batch(
        embeddings=rows[0], labels=labels, class_weights=lazily((C, D), dtype),
        bias=lazily((C,), dtype), centers=lazily((C, D), dtype), second=rows[1], third=rows[2],
        different=lazily((B,), torch.bool), more=shape.more,
    )  # fmt: skip


def _declared(dtype: str) -> Callable[[Field, Shape], Tensor]:
    """What makes the fields that a variant declares."""
    return lambda field, shape: lazily(shape.of(field.sizes), getattr(torch, field.dtype_in(dtype)))


def launches(
    loss: Loss, variant: Variant, contender: str, shape: Shape, dtype: str, processors: int
) -> list[Any]:
    """What a contender launches, forward and backward, on inputs of that shape: all of it, or as
    much as comes before a tensor that is too large."""
    function = loss.resolve(variant.contender(contender).entry)
    package = loss.package.rpartition(".")[0]
    launching = library.shared(package, "launching")
    with _Lazy():
        batch = batch_of(sized(variant, shape), getattr(torch, dtype))
        arguments = dict(variant.arguments(completed(variant, batch, _declared(dtype))))
    leaves = [arguments[name].requires_grad_() for name in variant.differentiable]
    options = {**variant.options, "reduction": variant.reductions[0]}
    with ExitStack() as stack:
        found = stack.enter_context(launching.recorded())
        stack.enter_context(suppress(TooLarge))
        stack.enter_context(library.unchecked())
        stack.enter_context(_splitting(package, processors, sparse(shape)))
        stack.enter_context(_Lazy())
        value = function(**arguments, **options)
        if variant.output == "loss":
            torch.autograd.grad(value, leaves, torch.ones_like(value))
    return found


def fill_norms(found: list[Any]) -> None:
    """Writes the norms that one launch would write and another's path depends on. An unwritten norm
    is 0, so its row would be near no other, and only near rows are read again."""
    for launch in found:
        if launch.kernel.fn.__name__ == "_squared_norms_kernel":
            x_BD = launch.arguments["x_ptr"].float()
            launch.arguments["norm_ptr"].copy_(x_BD.square().sum(dim=1))
            if launch.arguments.get("units_ptr") is not None:
                launch.arguments["moved_ptr"].copy_(x_BD)
                launch.arguments["units_ptr"].fill_(1)


def leave_no_doubt(found: list[Any]) -> None:
    """All-zero embeddings are all equally far apart: kernels that choose would settle every pair
    again, and not get far. Bounds of NaN, as with a NaN among the embeddings, leave nothing to
    settle."""
    for launch in found:
        for name in ("lowest_ptr", "highest_ptr"):
            if name in launch.arguments:
                launch.arguments[name].fill_(float("nan"))


def programs_of(launch: Any) -> list[int]:
    """The last program, about the one where the largest tensor passes 2^31, and the first; of
    programs that take tickets these work items, of each kind."""
    largest = max(t.numel() for t in launch.arguments.values() if isinstance(t, Tensor))

    def chosen(count: int) -> tuple[int, int, int]:
        last = count - 1
        return last, min(last, -(-count * FAR // max(largest, FAR))), 0

    if ITEMS not in launch.arguments:
        return list(dict.fromkeys(chosen(launch.programs)))
    kinds = [n for name, n in launch.arguments.items() if name.endswith("_items")]
    end, found = launch.arguments[ITEMS], []
    # The last two steps: the last one has no items of the kind that the others wait for.
    for start in (end - sum(kinds), end - 2 * sum(kinds)):
        for kind, before in zip(kinds, itertools.accumulate(kinds, initial=0), strict=False):
            found += [start + before + one for one in chosen(kind) if kind]
    return list(dict.fromkeys(found))


def reach(tensor: Tensor) -> int:
    """How many elements lie between a tensor's first and last."""
    return 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))


def run_program(launch: Any, program: int) -> None:
    """Run one program of a recorded launch in the interpreter, as if it were in the whole grid.

    The tensors lie on the CPU: the interpreter would copy each of them back onto itself, which
    touches every page of tensors that take no memory otherwise. Of programs that take tickets one
    runs, for the work item of that number, as if all before it were done.
    """
    if ITEMS in launch.arguments:
        launch.arguments["tickets_ptr"].fill_(2**30)[0] = program
        one = {**launch.arguments, ITEMS: program + 1}
        launch, program = dataclasses.replace(launch, arguments=one), 0
    builder = interpreter.interpreter_builder
    dimensions, index = builder.set_grid_dim, builder.set_grid_idx
    programs: Callable[..., None] = lambda *_: dimensions(launch.programs, 1, 1)  # noqa: E731
    with (
        mock.patch.object(builder, "set_grid_dim", programs),
        mock.patch.object(builder, "set_grid_idx", lambda *_: index(program, 0, 0)),
        mock.patch.object(interpreter.GridExecutor, "_restore_args_dev", lambda *_: None),
    ):
        dataclasses.replace(launch, programs=1)()
