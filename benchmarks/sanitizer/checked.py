"""A checked interpreter: every lane that reads or writes must hit an element of its own argument.

In Triton's interpreter all memory is reached through four functions (load, store and two kinds of
atomic), whatever a kernel calls: masked or not, through block pointers or descriptors. `checked`
stands in for those four. A tensor is passed to a kernel not under its address but under one with a
tag in the high bits, which pointer arithmetic carries along; so each lane's argument is known, and
a lane that strays from x into w is found though w is there. The gaps between the rows of a strided
view belong to no element. A lane outside is counted and sent to a spare byte, so that nothing is
harmed and the launch continues; at its end `OutOfBounds` is raised with all that was found.

    with checked() as watch:
        loss(x, y, ...)          # raises OutOfBounds
    watch.lanes                  # how many were checked, by source line
"""

from __future__ import annotations

import linecache
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest import mock

import numpy as np
import torch
from triton.runtime import interpreter

from .views import View

_ACCESSES = ("load", "store", "atomic_rmw", "atomic_cas")
# Names of the interpreter's module that are no functions over memory.
_KNOWN = {*_ACCESSES, "MEM_SEMANTIC", "RMW_OP"}
# A tag and 52 bits: a user's address has 47, and what is added may be half of the rest either way.
_TAG_BITS, _HALF = np.uint64(52), np.uint64(1 << 51)
_SPARE = np.zeros(64, dtype=np.uint8)
_TRITON = str(Path(sys.modules["triton"].__file__ or "").parent)


class OutOfBounds(AssertionError):
    """Lanes of a launch read or wrote outside the elements of their argument."""


class TooLong(RuntimeError):
    """More accesses were made than `Watch.patience`."""


class CannotCheck(RuntimeError):
    """The installed Triton's interpreter is not built as this module expects."""


@dataclass
class Finding:
    """What one line of a kernel did to one argument outside its elements.

    ``outside`` counts elements: past the last (positive), before the first (negative), or 0 for
    the gap between two rows of a view.
    """

    path: str
    kernel: str
    access: str
    argument: str
    line: str
    program: tuple[int, ...]
    lanes: int
    outside: int

    def __str__(self) -> str:
        if self.outside:
            side = "after its last" if self.outside > 0 else "before its first"
            where = f"up to {abs(self.outside)} elements {side}"
        else:
            where = "between the rows of a view"
        return (
            f"{self.kernel}: {self.access} through {self.argument}, {self.lanes} lanes {where} "
            f"(program {self.program[0]} first), at {self.line}"
        )


@dataclass
class Watch:
    """What was checked: launches by file and kernel, lanes by file and line, ``farthest`` the
    highest offset in elements by file, kernel and argument; ``findings`` over all launches.

    ``patience`` is how many ``accesses`` (of a block of lanes) may be made before `TooLong`.
    """

    launches: Counter[tuple[str, str]] = field(default_factory=Counter)
    lanes: Counter[tuple[str, int]] = field(default_factory=Counter)
    farthest: dict[tuple[str, str, str], int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    accesses: int = 0
    patience: float = float("inf")


class _Memory:
    """Stands in for the module whose functions reach memory."""

    def __init__(self, module: Any, watch: Watch) -> None:
        self._module, self._watch = module, watch
        self.kernel = ("", "")
        self.prepared: set[Any] = set()
        self._named: list[tuple[str, torch.Tensor]] = []
        self._views: list[View] = []
        self._found: dict[tuple[str, str, str], Finding] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def begin(self, kernel: CodeType, named: list[tuple[str, torch.Tensor]]) -> None:
        self.kernel, self._named = (kernel.co_filename, kernel.co_name), named
        self._views, self._found = [], {}
        self.prepared = set()

    def tag(self, tensor: Any) -> int:
        """What is added to the address of a tensor that is being passed."""
        name = next((name for name, known in self._named if known is tensor), "an argument")
        self._views.append(View(name, getattr(tensor, "base", tensor)))
        return (len(self._views) << int(_TAG_BITS)) + int(_HALF)

    def finish(self) -> None:
        """Raises OutOfBounds with what was found in the launch."""
        found = list(self._found.values())
        self._watch.launches[self.kernel] += 1
        self._watch.findings += found
        self._found = {}
        if found:
            raise OutOfBounds("\n".join(map(str, found)))

    def load(self, pointers, mask, other, dtype):
        pointers = self._real("load", pointers, mask, np.dtype(dtype).itemsize)
        return self._module.load(pointers, mask, other, dtype)

    def store(self, pointers, values, mask):
        pointers = self._real("store", pointers, mask, values.dtype.itemsize)
        return self._module.store(pointers, values, mask)

    def atomic_rmw(self, operation, pointers, values, mask, order):
        pointers = self._real("atomic", pointers, mask, values.dtype.itemsize)
        return self._module.atomic_rmw(operation, pointers, values, mask, order)

    def atomic_cas(self, pointers, expected, values, order):
        everywhere = np.ones(pointers.shape, dtype=bool)
        pointers = self._real("atomic", pointers, everywhere, values.dtype.itemsize)
        return self._module.atomic_cas(pointers, expected, values, order)

    def _real(self, access: str, pointers: np.ndarray, mask: Any, size: int) -> np.ndarray:
        """The addresses behind tagged pointers, those of stray lanes replaced by a spare one."""
        frame = _kernel_frame()
        self._watch.accesses += 1
        if self._watch.accesses > self._watch.patience:
            raise TooLong(f"{self.kernel[1]}: expected {self._watch.patience} accesses at most")
        active = np.broadcast_to(np.asarray(mask, dtype=bool), pointers.shape)
        lanes = int(np.count_nonzero(active))
        self._watch.lanes[frame.f_code.co_filename, frame.f_lineno] += lanes
        spare = np.full(pointers.shape, _SPARE.ctypes.data, dtype=np.uint64)
        if not lanes:
            return spare
        wanted = pointers[active]
        tags = wanted >> _TAG_BITS
        if (tags == tags[0]).all():
            spare[active] = self._checked(access, wanted, int(tags[0]), size, frame)
            return spare
        for tag in np.unique(tags):
            chosen = tags == tag
            wanted[chosen] = self._checked(access, wanted[chosen], int(tag), size, frame)
        spare[active] = wanted
        return spare

    def _checked(
        self, access: str, pointers: np.ndarray, tag: int, size: int, frame: FrameType
    ) -> np.ndarray:
        if not 1 <= tag <= len(self._views):
            self._note(access, "a pointer that is no argument", len(pointers), 0, frame)
            return np.full_like(pointers, _SPARE.ctypes.data)
        view = self._views[tag - 1]
        addresses = pointers - (np.uint64(tag) << _TAG_BITS) - _HALF
        offsets = (addresses - np.uint64(view.begin)).astype(np.int64)
        highest = int(offsets.max())
        where = (*self.kernel, view.name)
        known = self._watch.farthest.get(where, 0)
        self._watch.farthest[where] = max(known, highest // view.itemsize)
        if view.dense and offsets.min() >= 0 and highest + size <= view.end:
            return addresses
        stray = ~view.inside(offsets, size)
        if stray.any():
            count, outside = int(stray.sum()), view.outside(offsets[stray], size)
            self._note(access, view.name, count, outside, frame)
            addresses = np.where(stray, np.uint64(_SPARE.ctypes.data), addresses)
        return addresses

    def _note(self, access: str, argument: str, lanes: int, outside: int, frame: FrameType) -> None:
        path, number = frame.f_code.co_filename, frame.f_lineno
        line = f"{Path(path).name}:{number}: {linecache.getline(path, number).strip()}"
        new = Finding(
            *self.kernel, access, argument, line,
            tuple(interpreter.interpreter_builder.grid_idx), lanes, outside,
        )  # fmt: skip
        known = self._found.setdefault((access, argument, line), new)
        if known is not new:
            known.lanes += lanes
            known.outside = max(known.outside, outside, key=abs)


def _kernel_frame() -> FrameType:
    """The kernel's (or device function's) line that is being run."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and (
        frame.f_code.co_filename.startswith(_TRITON) or frame.f_code.co_filename == __file__
    ):
        frame = frame.f_back
    assert frame is not None
    return frame


def _expect(owner: Any, *names: str) -> None:
    lost = [name for name in names if not hasattr(owner, name)]
    if lost:
        where = getattr(owner, "__name__", owner)
        raise CannotCheck(f"{where}: expected {', '.join(lost)}; this Triton's interpreter differs")


@contextmanager
def checked() -> Iterator[Watch]:
    """Inside, a kernel that the interpreter runs raises OutOfBounds at the end of its launch.

    Raises CannotCheck if the installed interpreter lacks a function that is replaced here, or has
    one that reaches memory and isn't known here.
    """
    _expect(interpreter, "_interpreter", "_implicit_cvt", "GridExecutor", "interpreter_builder",
            "InterpretedFunction", "_patch_lang")  # fmt: skip
    executor: Any = interpreter.GridExecutor
    _expect(executor, "__call__", "_init_args_hst", "_restore_args_dev")
    _expect(interpreter._interpreter, *_ACCESSES)
    extra = {
        name
        for name, value in vars(interpreter._interpreter).items()
        if callable(value) and not isinstance(value, type) and name not in _KNOWN
    }
    if extra:
        raise CannotCheck(f"the interpreter reaches memory in a way not known: {sorted(extra)}")
    watch = Watch()
    memory = _Memory(interpreter._interpreter, watch)
    convert, prepare, run = interpreter._implicit_cvt, executor._init_args_hst, executor.__call__

    def tagged(argument):
        value = convert(argument)
        if hasattr(argument, "data_ptr"):
            value.handle.data = value.handle.data + np.uint64(memory.tag(argument))
        return value

    def prepared(self, args_dev, kwargs):
        args, named = prepare(self, args_dev, kwargs)
        passed = [*zip(self.arg_names, args, strict=False), *named.items()]
        memory.begin(self.fn.__code__, [*_tensors(passed)])
        return args, named

    def ran(self, *args, **kwargs):
        try:
            run(self, *args, **kwargs)
        finally:
            memory.finish()  # also for a launch that is given up: it may have found something

    def called(self, *args, **kwargs):
        # Putting the interpreter in the language's place for each call of a device function takes
        # longer than the function: once a launch is enough.
        if self.fn not in memory.prepared:
            memory.prepared.add(self.fn)
            interpreter._patch_lang(self.fn)
        return self.rewrite()(*args, **kwargs)

    with (
        mock.patch.object(interpreter, "_interpreter", memory),
        mock.patch.object(interpreter, "_implicit_cvt", tagged),
        mock.patch.object(executor, "_init_args_hst", prepared),
        mock.patch.object(executor, "__call__", ran),
        mock.patch.object(interpreter.InterpretedFunction, "__call__", called),
    ):
        yield watch


def _tensors(passed: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Every tensor that is passed, those in tuples and descriptors too, by its parameter's name."""
    for name, value in passed:
        if isinstance(value, tuple):
            yield from _tensors([(f"{name}[{i}]", part) for i, part in enumerate(value)])
        elif hasattr(value, "block_shape") and hasattr(value, "base"):
            yield name, value.base
        elif hasattr(value, "data_ptr"):
            yield name, value
