"""The calls that are measured, and the rows of what is not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from marginbench import catalogue
from marginbench.loss import Contender, Inputs, Loss, Shape, Variant
from suites.cases import Case, compared
from suites.schema import Row


def not_run(contender: str, metrics: tuple[str, ...], reason: str, **of: str) -> list[Row]:
    return [Row(contender, metric, dict(of), "not_run", reason) for metric in metrics]


@dataclass(frozen=True)
class Outputs:
    """What one call returned: its value (several integer tensors for a mining rule) and the
    gradients by argument; None where there is no gradient."""

    value: tuple[Tensor, ...]
    grads: dict[str, Tensor | None]

    def named(self) -> dict[str, Tensor | None]:
        """Every compared quantity by name: ``value``, ``grad:embeddings``, ..."""
        return {"value": self.value[0], **{f"grad:{k}": g for k, g in self.grads.items()}}

    def kept(self) -> Outputs:
        """Copies that no later call can reach."""
        grads = {k: None if g is None else g.detach().clone() for k, g in self.grads.items()}
        return Outputs(tuple(v.detach().clone() for v in self.value), grads)


@dataclass(frozen=True)
class Subject:
    """A variant with the size that it is measured at."""

    loss: Loss
    variant: Variant
    shape: Shape
    dtype: str
    device: str

    @classmethod
    def of(cls, case: Case) -> Self:
        loss = catalogue.get(case.loss)
        variant = compared(case.suite, loss.variant(case.variant))
        return cls(loss, variant, case.shape, case.dtype, case.device)

    @property
    def differentiable(self) -> bool:
        return self.variant.output == "loss"

    def call(self, function: Callable[..., Any], inputs: Inputs, reduction: str) -> Any:
        """Updates and mining rules have no terms to reduce, so they take no ``reduction``."""
        extra = {"reduction": reduction} if self.differentiable else {}
        return function(**inputs.tensors, **self.variant.options, **extra)

    def evaluate(
        self, function: Callable[..., Any], inputs: Inputs, reduction: str, upstream: Tensor | None
    ) -> Outputs:
        """Forward and backward once, from gradients of None. A value of another shape than its
        upstream gradient has no backward pass."""
        clear_gradients(inputs)
        with torch.enable_grad():
            value = self.call(function, inputs, reduction)
        values = value if isinstance(value, tuple) else (value,)
        if not self.differentiable:
            return Outputs(tuple(v.detach() for v in values), {})
        assert upstream is not None
        if value.shape == upstream.shape:
            value.backward(upstream.to(value.dtype))
        grads = {name: inputs.tensors[name].grad for name in inputs.differentiable}
        clear_gradients(inputs)
        return Outputs((value.detach(),), grads)


def clear_gradients(inputs: Inputs) -> None:
    for name in inputs.differentiable:
        inputs.tensors[name].grad = None


@dataclass
class Candidate:
    """A contender of a case with its callable, or the reason why it is not run. ``tiles``: what
    its kernels of ours were launched with, by key (`marginbench.shared.tuning.choices`)."""

    contender: Contender
    function: Callable[..., Any] | None = None
    reason: str = ""
    tiles: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def protocol(self) -> dict[str, Any]:
        """What is recorded with each of its rows."""
        return {"tiles": list(self.tiles.values())} if self.tiles else {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, `tiles` gets what the contender's kernels are launched with."""
        if "triton" not in self.contender.needs:
            yield
            return
        from marginbench.shared import tuning

        with tuning.watched() as choices:
            try:
                yield
            finally:
                self.tiles |= {choice["key"]: choice for choice in choices()}


def explain(error: BaseException) -> str:
    """An exception as a reason: its type and the first line of its message."""
    text = str(error).strip().splitlines()
    first = text[0][:300] if text else ""
    if is_out_of_memory(error):
        return f"out of memory: {first}"
    return f"{type(error).__name__}: {first}"


def is_out_of_memory(error: BaseException) -> bool:
    """torch's own type on CUDA; on the CPU its allocator raises a RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
