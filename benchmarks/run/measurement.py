"""One case, measured: agreement, then memory, then the interleaved rounds, as rows."""

from __future__ import annotations

import gc
import statistics
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from marginbench import stress
from marginbench.inputs import inputs_from, random_batch
from marginbench.loss import Inputs
from suites.cases import Case
from suites.presets import Preset

from ..agreement import comparison
from ..agreement.truth import REFERENCE_ELEMENTS, Truth
from ..instruments import clock, memory
from ..instruments.contenders import BASE, candidates, compilation
from ..instruments.metrics import METRICS
from ..instruments.rows import Candidate, Row, Subject, clear_gradients, explain, not_run
from .rounds import POOL, Interleaved, Rounds, Timed

_SEED_STEP = 1_000_003
# A preset that times a case for longer than this affords a larger reference as well.
_ORDINARY_S = 2.0


@dataclass
class Measurement:
    """One case in the making. ``elsewhere`` names contenders whose agreement another process
    measures; ``only`` narrows the contenders, eager stays; ``seconds`` is what the timed rounds
    may take. ``truths`` holds, by reduction, what the case was compared with."""

    case: Case
    preset: Preset
    only: Collection[str] | None = None
    elsewhere: Collection[str] = ()
    seconds: float | None = None
    truths: dict[str, Truth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.subject = Subject.of(self.case)

    def rows(self) -> Iterator[list[Row]]:
        """The rows in parts, as they are measured. Whatever fails becomes rows that say so."""
        reported: set[tuple[str, str]] = set()
        names = self._names()
        try:
            for part in self._parts():
                reported |= {(row.contender, row.metric) for row in part}
                yield part
        except Exception as error:
            reason = explain(error)
            metrics = self.metrics()
            yield [
                row
                for name in names
                for metric in metrics
                if (name, metric) not in reported
                and (metric not in _AGREEMENT or name not in self.elsewhere)
                for row in not_run(name, (metric,), reason)
            ]
        finally:
            # What is alive now stays: later collections need not scan all of torch again.
            gc.collect()
            gc.freeze()

    def not_run(self, reason: str) -> list[Row]:
        """Every cell of the case, with the reason."""
        return [row for name in self._names() for row in not_run(name, self.metrics(), reason)]

    def metrics(self) -> tuple[str, ...]:
        """The metrics that each contender of this case has a cell for, whether it runs or not."""
        found: tuple[str, ...] = ()
        if "agreement" in self.case.measures:
            found += comparison.metrics(self.subject)[:1]
        if "memory" in self.case.measures:
            found += memory_metrics(self.case.device)
        if "speed" in self.case.measures:
            found += time_metrics(self.subject)
        return found

    def _names(self) -> list[str]:
        every = [c.name for c in self.subject.variant.contenders if c.name != "reference"]
        return [n for n in every if self.only is None or n in self.only or n == BASE]

    def _parts(self) -> Iterator[list[Row]]:
        case = self.case
        found = candidates(self.subject, compile=case.compile, only=self.only, data=case.data)
        timed = "speed" in case.measures
        pool = [draw(case, self.subject, k) for k in range(POOL if timed else 1)]
        eager = next(c for c in found if c.name == BASE)
        reduction = comparison.TIMED_REDUCTION
        patience = max(1.0, self.preset.seconds_per_case / _ORDINARY_S)
        affordable = int(REFERENCE_ELEMENTS * patience)
        truths = [
            Truth(self.subject, inputs, reduction, eager, case.seed, affordable=affordable)
            for inputs in pool
        ]
        self.truths[reduction] = truths[0]
        if timed:
            yield from self._first_calls(found, truths[0])
        yield self._unavailable(found)
        able = [c for c in found if c.function is not None]
        if "agreement" in case.measures:
            rows = comparison.measure(
                self.subject, able, pool[0], case.seed,
                every=case.suite == "agreement", only=only_reduction(case), eager=eager,
                truths=self.truths,
            )  # fmt: skip
            able, voided = self._void_the_wrong(able, rows)
            yield rows + voided
        if "memory" in case.measures:
            yield self._memory(able, truths[0])
        if timed:
            yield self._speed(able, truths)

    def _unavailable(self, found: list[Candidate]) -> list[Row]:
        rows = []
        for candidate in found:
            if candidate.function is None:
                missing = [
                    metric
                    for metric in self.metrics()
                    if metric not in _AGREEMENT or candidate.name not in self.elsewhere
                ]
                rows += not_run(candidate.name, tuple(missing), candidate.reason)
        return rows

    def _first_calls(self, found: list[Candidate], truth: Truth) -> Iterator[list[Row]]:
        """The first call of whatever compiles itself: seconds that every process pays once."""
        for candidate in found:
            compiles = candidate.contender.compiled or "triton" in candidate.contender.needs
            if candidate.function is None or not compiles:
                continue
            start = time.perf_counter()
            try:
                with candidate.watched():
                    self.subject.evaluate(
                        candidate.function, truth.inputs, truth.reduction, truth.upstream
                    )
                clock.synchronize(self.case.device)
                seconds, how = time.perf_counter() - start, candidate.protocol
                if candidate.contender.compiled:
                    how = compilation()
                    if not how["graphs"]:
                        raise RuntimeError("torch.compile compiled nothing and ran eager instead")
                row = Row(candidate.name, "first_call_s", value=seconds, rounds=[seconds],
                          protocol={**_FIRST_CALL, **how})  # fmt: skip
            except Exception as error:
                clear_gradients(truth.inputs)
                candidate.function, candidate.reason = None, explain(error)
                row = not_run(candidate.name, ("first_call_s",), candidate.reason)[0]
            yield [row]

    def _void_the_wrong(
        self, able: list[Candidate], rows: list[Row]
    ) -> tuple[list[Candidate], list[Row]]:
        """Those whose outputs were right before the timing, and rows without a figure for the
        rest. The reduction that is timed is the one that counts."""
        timed = comparison.TIMED_REDUCTION
        counted = [r for r in rows if r.of.get("reduction", timed) == timed and r.status != "ok"]
        bad = {row.contender: row for row in reversed(counted) if row.metric in _AGREEMENT}
        metrics = tuple(metric for metric in self.metrics() if metric not in _AGREEMENT)
        voided = []
        for name, row in bad.items():
            what = row.of.get("quantity", "indices")
            worse = row.status == "worse"
            reason = f"voided by the check before timing: {what}: {row.reason}"
            cells = not_run(name, metrics, reason if worse else row.reason)
            voided += [replace(cell, status=row.status) for cell in cells]
        return [candidate for candidate in able if candidate.name not in bad], voided

    def _memory(self, able: list[Candidate], truth: Truth) -> list[Row]:
        rows = []
        names = memory_metrics(self.case.device)
        for candidate in able:
            function = candidate.function
            assert function is not None
            try:
                call = _call(self.subject, function, truth)
                found = memory.peak(call, self.case.device)
            except Exception as error:
                clear_gradients(truth.inputs)
                rows += not_run(candidate.name, names, explain(error))
                continue
            how = {**found.protocol, "reduction": truth.reduction, **candidate.protocol}
            rows += [
                Row(candidate.name, name, value=figure, protocol=how)
                for name, figure in found.figures.items()
            ]
        return rows

    def _speed(self, able: list[Candidate], truths: list[Truth]) -> list[Row]:
        preset = self.preset
        seconds = preset.seconds_per_case if self.seconds is None else self.seconds
        loop = Interleaved(
            self.subject, able, truths,
            Rounds(seconds, preset.min_rounds, preset.max_rounds,
                   preset.warmup_rounds),
            clock.for_device(self.case.device), zlib.crc32(self.case.id.encode()),
        )  # fmt: skip
        return [row for timed in loop.run() for row in self._time_rows(timed)]

    def _time_rows(self, timed: Timed) -> list[Row]:
        rows = []
        for metric in time_metrics(self.subject):
            row = Row(timed.candidate.name, metric, {"instrument": "interleaved"},
                      protocol={**timed.protocol, **timed.candidate.protocol})  # fmt: skip
            if timed.problem or not timed.samples:
                status = timed.status if timed.problem else "not_run"
                row = replace(row, status=status, reason=timed.problem or "no round fitted")
            else:
                field = metric.removesuffix("_time_s") + "_s"
                taken = [getattr(sample, field) for sample in timed.samples]
                row = replace(row, rounds=taken, value=statistics.median(taken))
            rows.append(row)
        return rows


_AGREEMENT = tuple(name for name, metric in METRICS.items() if metric.kind == "error")
_FIRST_CALL: dict[str, Any] = {
    "clock": "time.perf_counter",
    "covers": "first forward and backward at this size, compilation included, and the timing of "
    "tiles where their source is 'tuned'",
    "cache": "cold: torch.compile and Triton started the run with empty caches of its own",
}


def time_metrics(subject: Subject) -> tuple[str, ...]:
    if subject.differentiable:
        return ("forward_time_s", "backward_time_s", "both_time_s")
    return ("forward_time_s",)


def memory_metrics(device: str) -> tuple[str, ...]:
    return ("peak_bytes", "peak_reserved_bytes") if device == "cuda" else ("peak_bytes",)


def draw(case: Case, subject: Subject, number: int) -> Inputs:
    """The case's inputs for ``number`` 0, and others of the same kind beyond."""
    seed, unit = case.seed + _SEED_STEP * number, subject.variant.unit_embeddings
    if case.data == "digits":
        from benchmarks.training.real import batch

        found = batch(case.shape, seed, unit=unit)
    elif case.data in stress.KINDS:
        found = stress.KINDS[case.data].make(case.shape, seed, unit)
    else:
        found = random_batch(case.shape, seed, unit=unit)
    return inputs_from(subject.variant, found, case.dtype, case.device)


def only_reduction(case: Case) -> str:
    """On data where losses go wrong only the terms are compared, each with its own upstream
    gradient: the reductions differ in the last step alone and would go wrong alike."""
    return "none" if case.data in stress.KINDS else ""


def _call(subject: Subject, function: Callable[..., Any], truth: Truth) -> Callable[[], Any]:
    return lambda: subject.evaluate(function, truth.inputs, truth.reduction, truth.upstream)
