"""What ``marginbench sanitize`` runs in the checked interpreter: every Triton kernel of every loss.

Ragged: each variant and dtype forward and backward over small shapes that fit no tile, in layouts
that leave gaps, with labels out of range; what is allocated is filled with NaN first, so that
reading what nothing wrote shows in the outcome. Far: a few programs of launches whose tensors pass
2^31 elements (`far`).

A sample takes turns: a variant other than a loss's main one has one of the dtypes, and each far
shape has some of the variants in one dtype. Kernels are shared, so that every line is still
reached; not every argument passes 2^31.

The interpreter is chosen before a kernel is imported, so worker processes do it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from marginbench import catalogue
from marginbench.loss import Contender, Loss, Shape, Variant
from suites.shapes import shapes_of

from .. import library

# One of everything; primes; a tile (16 or 64) and its neighbours; one class; all of a class.
SHAPES = {
    "head": (Shape(1, 1, 1), Shape(5, 3, 1), Shape(17, 16, 31), Shape(37, 19, 23),
             Shape(64, 64, 64), Shape(65, 33, 129), Shape(15, 129, 65), Shape(66, 48, 130)),
    "batch": (Shape(1, 1, 1), Shape(2, 3, 2), Shape(37, 19, 1), Shape(17, 16, 17),
              Shape(64, 64, 8), Shape(65, 129, 31)),
    "rows": (Shape(1, 1, 1), Shape(17, 16, 2), Shape(37, 19, 3), Shape(64, 64, 2),
             Shape(65, 129, 5)),
}  # fmt: skip
# More of a class than a kernel takes at a time (64), in one dtype: slow, and the same in all.
MANY_OF_A_CLASS = {"batch": (Shape(133, 5, 2),)}
# How a matrix lies in memory, taken in turn over shapes and dtypes.
LAYOUTS = ("contiguous", "columns of a wider matrix", "transposed", "every second row")


@dataclass(frozen=True)
class Job:
    """``kind`` is ragged (one variant and dtype) or far (a family, its shape and a dtype, and the
    ``launching`` contenders)."""

    kind: str
    name: str
    dtype: str
    shape: Shape | None = None
    launching: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.name, self.dtype, str(self.shape or ""))))


@dataclass
class Tally:
    """What the jobs checked and found; keys are a file and a kernel's name, or a line."""

    launches: Counter[tuple[str, str]] = field(default_factory=Counter)
    far: Counter[tuple[str, str]] = field(default_factory=Counter)
    lanes: Counter[tuple[str, int]] = field(default_factory=Counter)
    farthest: dict[tuple[str, str, str], int] = field(default_factory=dict)
    large: set[tuple[str, str, str]] = field(default_factory=set)
    findings: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in ("launches", "far", "lanes"):
            getattr(self, name).update(getattr(other, name))
        for key, offset in other.farthest.items():
            self.farthest[key] = max(offset, self.farthest.get(key, 0))
        self.large |= other.large
        self.findings += other.findings
        self.problems += other.problems


def sanitized() -> Iterator[tuple[Loss, Variant, Contender]]:
    """Every contender whose kernels the interpreter can run and are ours, not a peer's."""
    for loss in catalogue.losses():
        for variant in loss.variants:
            for contender in variant.contenders:
                ours = not any(need.startswith("package:") for need in contender.needs)
                if ours and contender.interpretable and "triton" in contender.needs:
                    yield loss, variant, contender


def jobs(*, sample: bool = False) -> list[Job]:
    """Long ones first, so that two workers end together."""
    every = [(_name(*one), *one) for one in sanitized()]
    found = list(_far_jobs([(name, loss, variant) for name, loss, variant, _ in every], sample))
    for place, (name, _, variant, contender) in enumerate(every):
        dtypes = contender.dtypes
        if sample and not variant.sweep:
            dtypes = (dtypes[place % len(dtypes)],)
        found += [Job("ragged", name, dtype) for dtype in dtypes]
    return found


def _name(loss: Loss, variant: Variant, contender: Contender) -> str:
    return f"{loss.name}/{variant.name}/{contender.name}"


def _far_jobs(every: list[tuple[str, Loss, Variant]], sample: bool) -> Iterator[Job]:
    from . import far

    for family, shapes in far.SHAPES.items():
        # A head's other variants have another margin and the same addresses.
        names = tuple(
            name
            for name, loss, variant in every
            if variant.family == family and (family != "head" or variant is loss.variants[0])
        )
        dtypes = far.DTYPES[family]
        for place, shape in enumerate(shapes):
            if sample:
                taken = names[place :: len(shapes)]
                yield Job("far", family, dtypes[place % len(dtypes)], shape, taken)
            else:
                yield from (Job("far", family, dtype, shape, names) for dtype in dtypes)


def work(job: Job) -> Tally:
    """Does one job, in a process that uses the interpreter."""
    import torch

    from . import interpreter

    if not interpreter.active():
        raise RuntimeError("TRITON_INTERPRET: expected 1 before kernels are imported")
    interpreter.correct_bfloat16()
    torch.set_num_threads(1)
    return _ragged(job) if job.kind == "ragged" else _far(job)


def _ragged(job: Job) -> Tally:
    import torch

    from . import checked

    loss_name, variant_name, contender_name = job.name.split("/")
    loss = catalogue.get(loss_name)
    variant = loss.variant(variant_name)
    contender = variant.contender(contender_name)
    shapes = shapes_of(variant, SHAPES)[:: 1 if variant.sweep else 2]
    turn = contender.dtypes.index(job.dtype)
    if turn == 0 and variant.sweep and variant.family in MANY_OF_A_CLASS:
        shapes += shapes_of(variant, MANY_OF_A_CLASS)
    tally = Tally()
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills what is allocated with NaN
    try:
        with checked.checked() as watch:
            for place, shape in enumerate(shapes):
                layout = LAYOUTS[(place + turn) % len(LAYOUTS)]
                reduction = variant.reductions[(place + turn) % len(variant.reductions)]
                tally.problems += _call(loss, variant, contender, shape, job, layout, reduction)
            if variant.family == "head":
                tally.problems += _call(
                    loss, variant, contender, shapes[-1], job, LAYOUTS[0],
                    variant.reductions[0], stray_labels=True,
                )  # fmt: skip
    finally:
        torch.use_deterministic_algorithms(False)
    tally.launches, tally.lanes = watch.launches, watch.lanes
    tally.findings = watch.findings
    return tally


def _call(
    loss: Loss, variant: Variant, contender: Contender, shape: Shape, job: Job, layout: str,
    reduction: str, *, stray_labels: bool = False,
) -> list[str]:  # fmt: skip
    """One checked call, forward and backward; returns problems other than findings."""
    import contextlib

    import torch

    from marginbench.inputs import random_inputs

    from .checked import OutOfBounds

    if contender.limit is not None and contender.limit(shape, job.dtype):
        return []
    inputs = random_inputs(variant, shape, job.dtype, "cpu", seed=0)
    arguments = {name: laid_out(t, layout) for name, t in inputs.tensors.items()}
    if stray_labels:
        arguments["labels"][::3] = shape.classes
        arguments["labels"][1::3] = -1
    leaves = [arguments[name].requires_grad_() for name in inputs.differentiable]
    function = loss.resolve(contender.entry)
    outcome: list[Any] = []
    where = f"{job} {shape}, {layout}, {reduction}"
    try:
        with library.unchecked() if stray_labels else contextlib.nullcontext():
            value = function(**arguments, **variant.options, reduction=reduction)
            outcome += value if isinstance(value, tuple) else [value]
            if variant.output == "loss":
                upstream = torch.linspace(0.5, 1.5, value.numel()).reshape(value.shape)
                outcome += torch.autograd.grad(value, leaves, upstream)
    except OutOfBounds:
        return []  # the watch has it
    except (OSError, MemoryError):
        raise  # the machine's fault: nothing is said of the kernel
    except Exception as error:
        return [f"{where}: {type(error).__name__}: {error}"]
    unwritten = not stray_labels and not all(torch.isfinite(t.detach()).all() for t in outcome)
    return [f"{where}: NaN from finite inputs: does it read unwritten memory?"] if unwritten else []


def laid_out(tensor: Any, layout: str) -> Any:
    """The same numbers in another layout, NaN (or -2^63) in the gaps; a vector has only one."""
    if tensor is None or tensor.ndim != 2 or layout == "contiguous":
        return None if tensor is None else tensor.detach()
    tensor = tensor.detach()
    rows, columns = tensor.shape
    if layout == "transposed":
        return tensor.t().contiguous().t()
    wider = tensor.new_full((2 * rows, columns + 3), float("nan"))
    part = wider[:rows, 1:-2] if layout == LAYOUTS[1] else wider[::2, :columns]
    return part.copy_(tensor)


def _far(job: Job) -> Tally:
    from . import far

    assert job.shape is not None
    tally, done = Tally(), set()
    for loss, variant, contender in sanitized():
        if _name(loss, variant, contender) not in job.launching:
            continue
        if job.dtype not in contender.dtypes:
            continue
        for processors in far.PROCESSORS:
            try:
                found = far.launches(
                    loss, variant, contender.name, job.shape, job.dtype, processors
                )
            except (OSError, MemoryError):
                raise
            except Exception as error:
                where = f"{job} {loss.name}/{variant.name}"
                tally.problems.append(f"{where}: {type(error).__name__}: {error}")
                continue
            if far.sparse(job.shape):
                far.fill_norms(found)
            else:
                far.leave_no_doubt(found)
            for launch in reversed(found):
                key = _key(launch)
                if key not in done:
                    done.add(key)
                    _far_launch(launch, tally, far.patience(job.shape))
    return tally


def _key(launch: Any) -> tuple[Any, ...]:
    """Launches of the same kernel on the same sizes compute the same addresses."""
    kernel = launch.kernel.fn
    parts: list[Any] = [kernel.__code__.co_filename, kernel.__name__, launch.programs]
    for name, value in sorted(launch.arguments.items()):
        if hasattr(value, "shape"):
            parts.append((name, tuple(value.shape), value.stride(), value.dtype))
        elif value is None or isinstance(value, int | float):
            parts.append((name, value))
    return tuple(parts)


def _far_launch(launch: Any, tally: Tally, patience: int) -> None:
    from . import checked, far

    code = launch.kernel.fn.__code__
    kernel = (code.co_filename, code.co_name)
    large = {
        name
        for name, value in launch.arguments.items()
        if hasattr(value, "shape") and far.reach(value) > far.FAR
    }
    if not large:
        return
    tally.large |= {(*kernel, name) for name in large}
    with checked.checked() as watch:
        watch.patience = patience
        for program in far.programs_of(launch):
            watch.accesses = 0
            try:
                far.run_program(launch, program)
            except checked.OutOfBounds:
                pass  # the watch has it
            except (OSError, MemoryError):
                raise
            except Exception as error:
                if checked.TooLong.__name__ in repr(error):
                    continue  # the others may be shorter
                tally.problems.append(f"{code.co_name}, program {program}: {error!r}")
                continue
            tally.far[kernel] += 1
    tally.add(Tally(lanes=watch.lanes, farthest=watch.farthest, findings=watch.findings))
