"""A case on a GPU in three ways: cold (as everywhere), warm, and replayed as a CUDA graph."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..agreement.comparison import TIMED_REDUCTION
from ..agreement.truth import Truth
from ..instruments import clock
from ..instruments.rows import Candidate, Row, clear_gradients, explain, not_run
from ..run.measurement import Measurement, time_metrics
from ..run.rounds import Interleaved, Rounds, Timed

NO_GRAPH = "needs CUDA: there are no CUDA graphs on a CPU"
_WARM_UP = 3
# Parts of a case's seconds.
_COLD, _WARM, _GRAPH = 0.5, 0.25, 0.25


class WarmClock(clock.CudaClock):
    """CUDA events around each pass, on what earlier calls left in L2."""

    protocol: ClassVar[dict[str, str]] = {
        "clock": "CUDA events",
        "synchronisation": "the device, before and after each call",
        "cache": "warm: nothing is flushed; launching the kernels counts",
    }

    def time(
        self, forward: Callable[[], Any], backward: Callable[[Any], None] | None
    ) -> tuple[clock.Sample, Any]:
        flush, self._flush = self._flush, self._flush[:0]
        try:
            return super().time(forward, backward)
        finally:
            self._flush = flush


@dataclass(frozen=True)
class Captured:
    """Two passes that can be replayed, and the tensors that every replay writes to."""

    forward: Callable[[], object]
    backward: Callable[[], object] | None
    value: Any
    grads: dict[str, Tensor | None] = field(default_factory=dict)


Forward = Callable[[], Any]
Backward = Callable[[Any], dict[str, Tensor | None]]


def capture(forward: Forward, backward: Backward | None) -> Captured:
    """Both passes as CUDA graphs that share one pool of memory. Raises what capturing raises."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            value = forward()
            if backward is not None:
                backward(value)
            del value
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    pool = torch.cuda.graph_pool_handle()
    first, second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(first, pool=pool, stream=stream):
        value = forward()
    if backward is None:
        return Captured(first.replay, None, value)
    with torch.cuda.graph(second, pool=pool, stream=stream):
        grads = backward(value)
    return Captured(first.replay, second.replay, value, grads)


class Replayed(Interleaved):
    """The interleaved rounds, each contender captured at its first call and replayed after."""

    def __init__(self, *args: Any, capture: Callable[..., Captured] = capture) -> None:
        super().__init__(*args)
        self._capture = capture
        self._captured: dict[str, Captured] = {}

    def run(self) -> list[Timed]:
        try:
            return super().run()
        finally:
            self._captured.clear()

    def _call(self, timed: Timed, number: int, *, keep: bool) -> None:
        which = number % len(self.truths)
        if keep and self._changed(which):
            self._refill(number)
        try:
            with torch.enable_grad():
                captured = self._captured.get(timed.candidate.name)
                if captured is None:
                    captured = self._capture(*self._passes(timed.candidate))
                    self._captured[timed.candidate.name] = captured
                sample, _ = self.clock.time(captured.forward, _ignoring(captured.backward))
        except Exception as error:
            timed.void("not_run", f"no CUDA graph of it: {explain(error)}")
            self._refill(number)
            return
        timed.samples.append(sample)
        if keep:
            for name, grad in captured.grads.items():
                self.live.tensors[name].grad = grad
            self._keep(timed, which, captured.value)
            clear_gradients(self.live)
            if self._changed(which):
                timed.void("worse", "it changed its inputs during the timed rounds")
                self._refill(number)

    def _passes(self, candidate: Candidate) -> tuple[Forward, Backward | None]:
        subject, live, function = self.subject, self.live, candidate.function
        assert function is not None

        def forward() -> Any:
            return subject.call(function, live, TIMED_REDUCTION)

        def backward(value: Tensor) -> dict[str, Tensor | None]:
            # Not .backward(): a replay must write the gradients anew, not add to them.
            names = live.differentiable
            wanted = [live.tensors[name] for name in names]
            assert self.upstream is not None
            found = torch.autograd.grad(
                value, wanted, self.upstream.to(value.dtype), allow_unused=True
            )
            return dict(zip(names, found, strict=True))

        return forward, backward if subject.differentiable else None


def _ignoring(replay: Callable[[], object] | None) -> Callable[[Any], None] | None:
    """A replay in the form of a clock's backward pass, without the forward value."""
    if replay is None:
        return None

    def backward(_: Any) -> None:
        replay()

    return backward


class GpuMeasurement(Measurement):
    """The usual measurement, then ``warm_`` and ``graph_`` times of the same contenders."""

    _left: tuple[list[Candidate], list[Truth]] | None = None

    def metrics(self) -> tuple[str, ...]:
        found = super().metrics()
        if "speed" not in self.case.measures:
            return found
        times = time_metrics(self.subject)
        return (*found, *(f"{way}_{name}" for way in ("warm", "graph") for name in times))

    def _first_calls(self, found: list[Candidate], truth: Truth) -> Iterator[list[Row]]:
        for rows in super()._first_calls(found, truth):
            compiled = {"cache": "kernels may have been compiled ahead"}
            yield [replace(row, protocol={**row.protocol, **compiled}) for row in rows]

    def _speed(self, able: list[Candidate], truths: list[Truth]) -> list[Row]:
        self._left = able, truths
        whole = self.preset.seconds_per_case if self.seconds is None else self.seconds
        self.seconds = whole * _COLD
        try:
            return super()._speed(able, truths)
        finally:
            self.seconds = whole

    def _parts(self) -> Iterator[list[Row]]:
        yield from super()._parts()
        if self._left is None:
            return
        able, truths = self._left
        yield self._again("warm", able, truths)
        if self.case.device == "cuda":
            yield self._again("graph", able, truths)
            return
        names = tuple(f"graph_{name}" for name in time_metrics(self.subject))
        yield [row for c in able for row in not_run(c.name, names, NO_GRAPH)]

    def _again(self, way: str, able: list[Candidate], truths: list[Truth]) -> list[Row]:
        preset, cuda = self.preset, self.case.device == "cuda"
        whole = self.seconds or preset.seconds_per_case
        share = _WARM if way == "warm" else _GRAPH
        rounds = Rounds(whole * share, preset.min_rounds, preset.max_rounds, preset.warmup_rounds)
        timer = WarmClock() if cuda and way == "warm" else clock.for_device(self.case.device)
        kind = Interleaved if way == "warm" else Replayed
        loop = kind(
            self.subject, able, truths, rounds, timer, zlib.crc32(f"{way} {self.case.id}".encode())
        )
        how = {"launching": "replayed as a CUDA graph a pass"} if way == "graph" else {}
        return [
            replace(row, metric=f"{way}_{row.metric}", protocol={**row.protocol, **how})
            for timed in loop.run()
            for row in self._time_rows(timed)
        ]
