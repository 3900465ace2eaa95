"""Ways to look fast without being so, each planted into the candidate of a pair.

A plant is given the pair before it is looked at, and changes the candidate's function. None of them
needs to be subtle; each has been seen in the wild in some form.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gate.pair import Pair

Function = Callable[..., Any]


def _replace(pair: Pair, make: Callable[[Function], Function]) -> None:
    candidate = pair.sides[1].candidate
    assert candidate.function is not None
    candidate.function = make(candidate.function)


def lazy_result(pair: Pair, _: float) -> None:
    """Hands out a tensor that is not one: whoever looks gets what its class makes of it."""

    class Lazy(Tensor):
        pass

    _replace(pair, lambda function: lambda **given: function(**given).as_subclass(Lazy))


def replay_by_pointer(pair: Pair, _: float) -> None:
    """Remembers the result for the addresses of the tensors."""
    known: dict[Any, Tensor] = {}

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            key = tuple(v.data_ptr() for v in given.values() if isinstance(v, Tensor))
            if key not in known:
                known[key] = function(**given).detach()
            surrogate = sum(v.sum() for v in given.values()
                            if isinstance(v, Tensor) and v.requires_grad)  # fmt: skip
            return known[key] + 0 * surrogate

        return call

    _replace(pair, make)


def replay_by_value(pair: Pair, _: float) -> None:
    """Remembers the result for embeddings whose sum of magnitudes is about the same."""
    known: dict[Any, Any] = {}

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            key = round(float(given["embeddings"].detach().abs().sum()), -1)
            leaves = [v for v in given.values() if isinstance(v, Tensor) and v.requires_grad]
            if key not in known:
                value = function(**given)
                known[key] = (value.detach(), torch.autograd.grad(value, leaves))
            value, grads = known[key]
            return _Given.apply(value, grads, *leaves)

        return call

    _replace(pair, make)


class _Given(torch.autograd.Function):
    """A value and gradients that are simply handed out."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, grads: Any, *leaves: Tensor) -> Tensor:
        ctx.grads = grads
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return None, None, *(upstream * grad for grad in ctx.grads)


class _Ready(_Given):
    """The same, with gradients that hold the upstream's factor already."""

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return None, None, *ctx.grads


def many_calls_in_one(pair: Pair, _: float) -> None:
    """Works once for eight calls, and hands the result out to the seven that follow."""
    held: dict[str, Any] = {"left": 0}

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            leaves = [v for v in given.values() if isinstance(v, Tensor) and v.requires_grad]
            if not held["left"]:
                value = function(**given)
                held["out"] = (value.detach(), torch.autograd.grad(value, leaves))
                held["left"] = 8
            held["left"] -= 1
            return _Given.apply(*held["out"], *leaves)

        return call

    _replace(pair, make)


def input_mutation(pair: Pair, _: float) -> None:
    """Scales the embeddings where they lie: the next call finds others."""

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            value = function(**given)
            with torch.no_grad():
                given["embeddings"].data.mul_(0.5)
            return value

        return call

    _replace(pair, make)


def reused_buffer(pair: Pair, _: float) -> None:
    """The value always in the same memory: an allocation saved, an owner's numbers lost."""
    buffers: dict[tuple[int, ...], Tensor] = {}

    class Reuse(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Tensor) -> Tensor:
            out = buffers.setdefault(tuple(value.shape), torch.empty_like(value))
            return out.copy_(value).view_as(out)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> Tensor:
            return upstream

    _replace(pair, lambda function: lambda **given: Reuse.apply(function(**given)))


def lower_precision(pair: Pair, _: float) -> None:
    """Computes in bfloat16 and hands out float32."""

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            low = {k: v.bfloat16() if isinstance(v, Tensor) and v.is_floating_point() else v
                   for k, v in given.items()}  # fmt: skip
            return function(**low).float()

        return call

    _replace(pair, make)


def uninitialised_output(pair: Pair, _: float) -> None:
    """Hands out memory as it came; by luck the right numbers of a call before lie there."""

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            value = function(**given)
            return value + 0 * torch.empty_like(value)

        return call

    _replace(pair, make)


def another_thread(pair: Pair, _: float) -> None:
    """The value, and more work in a thread that nobody waits for."""

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            value = function(**given)
            copies = {k: v.detach() if isinstance(v, Tensor) else v for k, v in given.items()}

            def work() -> None:
                for _ in range(4):
                    function(**copies)
                time.sleep(0.5)  # there to be seen, however busy the machine is

            threading.Thread(target=work, daemon=True).start()
            return value

        return call

    _replace(pair, make)


def skipped_after_warm_up(pair: Pair, _: float) -> None:
    """Honest forty times, then hands out the last result for ever."""
    held: dict[str, Any] = {"calls": 0}

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            held["calls"] += 1
            leaves = [v for v in given.values() if isinstance(v, Tensor) and v.requires_grad]
            if held["calls"] <= 40:
                value = function(**given)
                grads = torch.autograd.grad(value, leaves)
                held["out"] = (value.detach(), grads)
            return _Given.apply(*held["out"], *leaves)

        return call

    _replace(pair, make)


def cached_backward(pair: Pair, _: float) -> None:
    """The right value every time, with the gradients of the first call."""
    held: dict[str, Any] = {}

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            leaves = [v for v in given.values() if isinstance(v, Tensor) and v.requires_grad]
            if "grads" not in held:
                held["grads"] = torch.autograd.grad(function(**given), leaves)
            with torch.no_grad():
                value = function(**given)
            return _Given.apply(value, held["grads"], *leaves)

        return call

    _replace(pair, make)


def weights_kept_normalised(pair: Pair, _: float) -> None:
    """Goes on with the class weights as they first were at that address."""
    known: dict[int, Tensor] = {}

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            weights = given["class_weights"]
            kept = known.setdefault(weights.data_ptr(), weights.detach().clone())
            return function(**{**given, "class_weights": weights + (kept - weights).detach()})

        return call

    _replace(pair, make)


def no_work_at_all(pair: Pair, _: float) -> None:
    """The right value and gradients without any work: what no machine can be."""
    base = pair.sides[0]

    def make(function: Function) -> Function:
        def call(**given: Any) -> Tensor:
            leaves = [v for v in given.values() if isinstance(v, Tensor) and v.requires_grad]
            return _Ready.apply(*ready["out"], *leaves)

        return call

    ready: dict[str, Any] = {}
    refresh = pair._refresh

    def refresh_and_prepare(side: Any) -> None:
        refresh(side)
        given = {**side.inputs.tensors, **side.subject.variant.options, "reduction": "mean"}
        leaves = [v for v in given.values() if isinstance(v, Tensor) and v.requires_grad]
        value = base.function(**given)
        ready["out"] = (value.detach(), torch.autograd.grad(value, leaves, pair.upstream))

    pair._refresh = refresh_and_prepare  # type: ignore[method-assign]
    _replace(pair, make)


CAUGHT: dict[str, str] = {
    "lazy_result": "no plain tensor",
    "replay_by_pointer": "wrong|error|grad",
    "replay_by_value": "wrong|error|value|grad",
    "many_calls_in_one": "error|wrong|invalid",
    "input_mutation": "changes its inputs",
    "reused_buffer": "writes over",
    "lower_precision": "error",
    "uninitialised_output": "NaN",
    "another_thread": "after it has returned",
    "skipped_after_warm_up": "timed call gave a wrong result|invalid",
    "cached_backward": "grad",
    "weights_kept_normalised": "error|wrong",
    "no_work_at_all": "invalid",
}
