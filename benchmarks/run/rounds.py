"""Interleaved rounds: in each, every contender of a case once, in a random order.

Drift of the machine then affects all alike. The inputs change from round to round: one live set is
rewritten before each round from a small pool, at the same addresses, so that a cached result is
wrong. Of each of these inputs one timed call, chosen at random, has its outputs copied and checked
afterwards: who gives one result for all of them is always found.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from marginbench.loss import Inputs
from suites.schema import Status

from ..agreement.comparison import TIMED_REDUCTION, same_bits
from ..agreement.truth import Truth
from ..agreement.verdict import fails
from ..instruments.clock import Clock, Sample, no_collection
from ..instruments.rows import (
    Candidate,
    Outputs,
    Subject,
    clear_gradients,
    explain,
    is_out_of_memory,
)

POOL = 3
_KEPT_ONE_ABOVE = 256 << 20  # bytes of one call's outputs
# A contender whose fewest rounds would take this many times the case's seconds gets fewer.
_PATIENCE = 10
_LEAST = 2


@dataclass(frozen=True)
class Rounds:
    """As many rounds as fit into ``seconds``, between ``fewest`` and ``most``."""

    seconds: float
    fewest: int
    most: int
    warmup: int


@dataclass
class Timed:
    """One contender's samples in the order taken. ``problem`` voids them, with ``status``
    "worse" (a check failed) or "not_run" (it raised)."""

    candidate: Candidate
    samples: list[Sample] = field(default_factory=list)
    status: Status = "ok"
    problem: str = ""
    limit: int = 0
    kept: dict[int, Outputs] = field(default_factory=dict)  # by which of the pool's inputs
    protocol: dict[str, Any] = field(default_factory=dict)

    def void(self, status: Status, problem: str) -> None:
        if not self.problem:
            self.status, self.problem = status, problem


class Interleaved:
    """The timed loop of one case; `run` gives every contender's samples."""

    def __init__(
        self,
        subject: Subject,
        candidates: Sequence[Candidate],
        truths: Sequence[Truth],
        rounds: Rounds,
        clock: Clock,
        seed: int,
    ) -> None:
        self.subject, self.truths, self.rounds, self.clock = subject, truths, rounds, clock
        self.timed = [Timed(candidate) for candidate in candidates]
        self.random = random.Random(seed)
        self.seed = seed
        self.upstream = truths[0].upstream
        self.live = separate(truths[0].inputs)
        self._versions: dict[str, int] = {}

    def run(self) -> list[Timed]:
        started = time.perf_counter()
        with no_collection():
            self._warm_up()
            self._limit_the_slow()
            number = 0
            start = time.perf_counter()
            while number < self.rounds.most:
                spent = time.perf_counter() - start
                if number >= self.rounds.fewest and spent >= self.rounds.seconds:
                    break
                if not self._round(number):
                    break
                number += 1
        clear_gradients(self.live)
        self._check_kept()
        for timed in self.timed:
            timed.protocol |= self._protocol(timed)
        self.wall_s = time.perf_counter() - started
        return self.timed

    def _warm_up(self) -> None:
        for number in range(self.rounds.warmup):
            self._refill(number)
            for timed in self._order(number):
                # A slow contender is warm after one call: it was called before, untimed.
                if number == 0 or timed.samples[-1].both_s < self.rounds.seconds / 10:
                    self._call(timed, number, keep=False)

    def _limit_the_slow(self) -> None:
        for timed in self.timed:
            timed.limit = self.rounds.most
            if timed.samples:
                once = min(sample.both_s for sample in timed.samples)
                most = _PATIENCE * self.rounds.seconds
                if once * self.rounds.fewest > most:
                    timed.limit = max(_LEAST, int(most / once))
                    timed.protocol["fewer_rounds"] = (
                        f"{timed.limit} instead of at least {self.rounds.fewest}: "
                        f"a call takes {once:.3g} s"
                    )
            timed.protocol["warmup_rounds"] = len(timed.samples)
            timed.samples.clear()

    def _round(self, number: int) -> bool:
        """Whether any contender ran."""
        order = self._order(number)
        self._refill(number)
        for timed in order:
            # Reservoir sampling: of the rounds with these inputs each is equally likely to be kept.
            keep = self.random.random() < 1 / (number // len(self.truths) + 1)
            self._call(timed, number, keep=keep)
        return bool(order)

    def _order(self, number: int) -> list[Timed]:
        order = [t for t in self.timed if not t.problem and (not t.limit or number < t.limit)]
        self.random.shuffle(order)
        return order

    def _refill(self, number: int) -> None:
        rewrite(self.live, self.truths[number % len(self.truths)].inputs)
        for name, tensor in self.live.tensors.items():
            if tensor is not None:
                self._versions[name] = tensor._version

    def _call(self, timed: Timed, number: int, *, keep: bool) -> None:
        subject, function = self.subject, timed.candidate.function
        assert function is not None
        which = number % len(self.truths)
        if keep and self._changed(which):
            self._refill(number)  # changed by an earlier contender, not by this one
        clear_gradients(self.live)

        def forward() -> Any:
            return subject.call(function, self.live, TIMED_REDUCTION)

        def backward(value: Tensor) -> None:
            value.backward(self.upstream)

        try:
            with torch.enable_grad():
                sample, value = self.clock.time(
                    forward, backward if subject.differentiable else None
                )
        except Exception as error:
            timed.void("not_run", explain(error))
            self._refill(number)
            if is_out_of_memory(error) and subject.device == "cuda":
                torch.cuda.empty_cache()
            return
        timed.samples.append(sample)
        if self._versions_changed():
            timed.void("worse", "it changed its inputs during the timed rounds")
            self._refill(number)
        elif keep:
            self._keep(timed, which, value)
            if self._changed(which):
                timed.void("worse", "it changed its inputs during the timed rounds")
                self._refill(number)

    def _versions_changed(self) -> bool:
        return any(self.live.tensors[n]._version != v for n, v in self._versions.items())

    def _changed(self, which: int) -> bool:
        pool = self.truths[which].inputs.tensors
        return any(
            not same_bits(tensor.detach(), pool[name].detach())
            for name, tensor in self.live.tensors.items()
            if tensor is not None
        )

    def _keep(self, timed: Timed, which: int, value: Any) -> None:
        values = value if isinstance(value, tuple) else (value,)
        grads = {name: self.live.tensors[name].grad for name in self.live.differentiable}
        outputs = Outputs(values, grads if self.subject.differentiable else {})
        size = sum(
            t.numel() * t.element_size() for t in (*values, *grads.values()) if t is not None
        )
        if size > _KEPT_ONE_ABOVE and timed.kept:
            if self.random.randrange(len(self.truths)):
                return
            timed.kept.clear()
        timed.kept[which] = outputs.kept()

    def _check_kept(self) -> None:
        for timed in self.timed:
            for which, outputs in timed.kept.items():
                if not timed.problem:
                    wrong = fails(self.truths[which], timed.candidate, outputs)
                    if wrong:
                        timed.void("worse", f"a timed call gave a wrong result: {wrong}")
            timed.protocol["checked_calls"] = len(timed.kept)
            timed.kept.clear()

    def _protocol(self, timed: Timed) -> dict[str, Any]:
        return {
            "instrument": "interleaved",
            **self.clock.protocol,
            "seconds": round(self.rounds.seconds, 3),
            "order": f"random in each round, seed {self.seed}",
            "inputs": f"{len(self.truths)} sets in turn, rewritten in place before each round",
            "reduction": TIMED_REDUCTION if self.subject.differentiable else "none",
            "garbage_collection": "off",
            "threads": torch.get_num_threads(),
        }


def separate(inputs: Inputs) -> Inputs:
    """The same numbers in new tensors, as new leaves."""
    tensors = {
        name: None
        if tensor is None
        else tensor.detach().clone().requires_grad_(name in inputs.differentiable)
        for name, tensor in inputs.tensors.items()
    }
    return Inputs(tensors, inputs.differentiable)


def rewrite(live: Inputs, source: Inputs) -> None:
    """Copies the source's numbers into the live tensors, in place."""
    with torch.no_grad():
        for name, tensor in live.tensors.items():
            if tensor is not None:
                tensor.copy_(source.tensors[name])
