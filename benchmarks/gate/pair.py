"""Base and candidate of one case, ready to be called in turn on the same tensors.

Before every call, timed or not, the inputs change in place: the batch is rotated and every
floating-point tensor is scaled by its own factor near 1. So a result that is cached, by address or
by value, is wrong. Copies of randomly chosen timed calls are checked against the base's float64
reference afterwards.
"""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from marginbench.loss import Inputs
from suites.gate import TimedCase

from ..agreement.comparison import TIMED_REDUCTION
from ..agreement.truth import Truth, upstream
from ..instruments.clock import synchronize
from ..instruments.rows import Candidate, Outputs, Subject, clear_gradients
from ..run.measurement import draw
from ..run.rounds import separate

# Taken before any tree is loaded: a tree that patches the clock does not change this one.
_now = time.perf_counter_ns
_FURTHEST = 0.01


class Wrong(Exception):
    """A side's result is not what it should be; ``side`` is "base" or "candidate"."""

    def __init__(self, side: str, reason: str) -> None:
        super().__init__(f"{side}: {reason}")
        self.side, self.reason = side, reason


@dataclass
class Side:
    """One version of the contender; ``kept``: inputs and outputs of some of its timed calls."""

    name: str
    subject: Subject
    candidate: Candidate
    inputs: Inputs
    kept: list[tuple[Inputs, Outputs]] = field(default_factory=list)

    @property
    def function(self) -> Callable[..., Any]:
        assert self.candidate.function is not None
        return self.candidate.function


class Pair:
    """Both sides; `renew` gives them fresh tensors, `call` runs and times one of them once."""

    def __init__(self, case: TimedCase, packages: tuple[str, str], seed: int) -> None:
        self.case, self.seed = case, seed
        self.random = random.Random(seed)
        base, candidate = (_side(case, name, package, seed) for name, package in
                           zip(("base", "candidate"), packages, strict=True))  # fmt: skip
        self.sides = (base, candidate)
        self.shared = same_inputs(base.inputs, candidate.inputs)
        self._drawn = (base.inputs, candidate.inputs)
        self.upstream = upstream(base.subject, TIMED_REDUCTION, seed)
        self.renew()

    def renew(self) -> None:
        """The numbers as drawn, at new addresses."""
        base, candidate = self.sides
        base.inputs = separate(self._drawn[0])
        candidate.inputs = base.inputs if self.shared else separate(self._drawn[1])
        self._factors = {id(side.inputs): dict.fromkeys(side.inputs.tensors, 1.0)
                         for side in self.sides}  # fmt: skip

    def call(self, side: Side, *, keep: bool = False) -> int:
        """Nanoseconds of one forward pass and, for a loss, one backward pass, on inputs that no
        earlier call had. Raises Wrong if its outputs are no plain tensors, and what the call
        raises."""
        self._refresh(side)
        subject, function, inputs = side.subject, side.function, side.inputs
        before = separate(inputs) if keep else None
        clear_gradients(inputs)
        synchronize(subject.device)
        start = _now()
        value = subject.call(function, inputs, TIMED_REDUCTION)
        first = value[0] if isinstance(value, tuple) else value
        if subject.differentiable:
            value.backward(self.upstream)
        # Reading a number forces work that was put off.
        first.detach().reshape(-1)[0].item()
        synchronize(subject.device)
        spent = _now() - start
        self._inspect(side, value)
        if before is not None:
            if not _same(before, inputs):
                raise Wrong(side.name, "it changes its inputs")
            side.kept.append((before, _outputs(side, value).kept()))
        return spent

    def truth(self, inputs: Inputs) -> Truth:
        """What a call on these inputs should return, by the base's definition."""
        base = self.sides[0]
        return Truth(base.subject, inputs, TIMED_REDUCTION, _eager(base), self.seed)

    def _refresh(self, side: Side) -> None:
        inputs, factors = side.inputs, self._factors[id(side.inputs)]
        batch = self.case.shape.batch
        turn = self.random.randrange(1, batch) if batch > 1 else 0
        with torch.no_grad():
            for name, tensor in inputs.tensors.items():
                if tensor is None:
                    continue
                if turn and tensor.ndim and tensor.shape[0] == batch:
                    tensor.copy_(tensor.roll(turn, 0))
                if tensor.is_floating_point():
                    # A smaller step would round back to the same numbers in 16 bits.
                    step = max(0.001, 2 * torch.finfo(tensor.dtype).eps)
                    furthest = max(_FURTHEST, 5 * step)
                    factor = 1 + step * self.random.choice((-1, 1)) * self.random.uniform(0.5, 1)
                    if not 1 - furthest < factors[name] * factor < 1 + furthest:
                        factor = 1 / factors[name]
                    factors[name] *= factor
                    tensor.mul_(factor)

    def _inspect(self, side: Side, value: Any) -> None:
        values = value if isinstance(value, tuple) else (value,)
        for tensor in (*values, *_gradients(side).values()):
            if tensor is not None and type(tensor) is not torch.Tensor:
                raise Wrong(side.name, f"it returns a {type(tensor).__name__}, no plain tensor")


def _side(case: TimedCase, name: str, package: str, seed: int) -> Side:
    catalogue = importlib.import_module(f"{package}.catalogue")
    loss = catalogue.get(case.loss)
    variant = loss.variant(case.variant)
    contender = variant.contender(case.contender)
    subject = Subject(loss, variant, case.shape, case.dtype, case.device)
    return Side(
        name, subject, Candidate(contender, loss.resolve(contender.entry)),
        draw_for(case, subject, seed),
    )  # fmt: skip


def draw_for(case: TimedCase, subject: Subject, seed: int) -> Inputs:
    from suites.cases import Case

    drawn = Case.of("speed", subject.loss, subject.variant, case.shape, case.dtype, case.device,
                    "drawn", seed)  # fmt: skip
    return draw(drawn, subject, 0)


def same_inputs(one: Inputs, other: Inputs) -> bool:
    """Whether both sides can share tensors: names, which have gradients, and every bit agree."""
    return one.differentiable == other.differentiable and _same(one, other)


def _same(one: Inputs, other: Inputs) -> bool:
    if list(one.tensors) != list(other.tensors):
        return False
    for name, mine in one.tensors.items():
        theirs = other.tensors[name]
        if (mine is None) != (theirs is None):
            return False
        if mine is not None and (mine.dtype != theirs.dtype or not torch.equal(mine, theirs)):
            return False
    return True


def _gradients(side: Side) -> dict[str, Any]:
    return {name: side.inputs.tensors[name].grad for name in side.inputs.differentiable}


def _outputs(side: Side, value: Any) -> Outputs:
    values = value if isinstance(value, tuple) else (value,)
    return Outputs(values, _gradients(side) if side.subject.differentiable else {})


def _eager(side: Side) -> Candidate:
    contender = side.subject.variant.contender("eager")
    return Candidate(contender, side.subject.loss.resolve(contender.entry))
