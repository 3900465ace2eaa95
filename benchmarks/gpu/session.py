"""One GPU session: ceilings, then every check side by side, then the timing with nothing beside it.

The budget counts from the session's first second. Checks get at most `CHECKING` of it and give
back what they don't use; timing has the rest, and what of its plan does not fit is dropped from
the end, each case with a line that says so. Every line is written when it is known; a session that
was killed, or ran out of time, goes on in the same folder with what is missing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suites.cases import Case
from suites.gpu import CHECKERS, Plan

from .. import machine
from ..measurement import Measurement
from ..rows import Row, not_run
from . import checkers, telemetry
from .journal import NO_TIME, Journal
from .lanes import Event, Lane, plain
from .lanes import run as run_lanes
from .timing import GpuMeasurement

FINE, FAILED, INTERRUPTED = 0, 1, 130
CEILINGS_S, CHECKING, LEAVING_S = 45.0, 0.45, 8.0
_LEAST_SHARE = 0.15
# Children that check, and those that compile ahead; a core each, two left for this process.
_CHECKERS_AT_ONCE, _FILLERS = 8, 4
Run = Callable[..., Iterator[Event]]


@dataclass(frozen=True)
class Budget:
    """Seconds of ``now``; ``minutes`` from ``start``."""

    minutes: float
    start: float
    now: Callable[[], float]

    @property
    def words(self) -> str:
        return f"{self.minutes:g} minutes"

    @property
    def end(self) -> float:
        return self.start + 60 * self.minutes - LEAVING_S

    @property
    def ceilings_end(self) -> float:
        return min(self.end, self.start + CEILINGS_S)

    @property
    def checks_end(self) -> float:
        """Of what is left when the checks begin."""
        now = self.now()
        return now + max(0.0, self.end - now) * CHECKING

    def seconds(self, preferred: float, left: float, cases: int) -> float:
        """Timed seconds for the next of ``cases``: a third of its share of what is left, for
        compiling, drawing and checking take the rest; between a floor and what is preferred."""
        share = left / max(1, cases) / 3
        return min(preferred, max(_LEAST_SHARE * preferred, share))


@dataclass
class Session:
    """``run`` makes the events of lanes; a test puts its own there."""

    plan: Plan
    journal: Journal
    budget: Budget
    command: str
    dry_run: bool
    tell: Callable[[str], None] = print
    run_lanes: Run = run_lanes
    watch: telemetry.Watch = field(default_factory=telemetry.Watch)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.device = "cpu" if self.dry_run else "cuda"
        self.problems: list[str] = []
        self.counts: dict[str, int] = {}

    def run(self) -> int:
        """0 fine, 1 something is wrong or failed, 130 interrupted."""
        self.watch.start()
        try:
            with _caches() as caches:
                self.environment = {**checkers.root_environment(machine.ROOT), **caches}
                if self.dry_run:
                    self.environment |= {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
                rates = self._phase("ceilings", self._ceilings) or {}
                self._begin(rates)
                self._phase("checks", self._checks)
                self._phase("timing", self._timing)
                self._phase("what is missing", self._missing)
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            self.watch.close()
        self.journal.end_run(self.budget.now() - self.budget.start)
        return FAILED if self.problems or self.journal.worse else FINE

    def _phase(self, name: str, work: Callable[[], Any]) -> Any:
        """A phase that fails ends itself alone. A full disk ends the session."""
        self.tell(f"{name}: {max(0.0, self.budget.end - self.budget.now()):.0f} s left")
        try:
            return work()
        except OSError:
            raise
        except Exception as error:
            self.problems.append(f"{name}: {type(error).__name__}: {error}")
            self.tell(self.problems[-1])
            return None

    def _begin(self, rates: Mapping[str, Any]) -> None:
        information = {
            **rates,
            "gpu_limits": telemetry.limits() if self.device == "cuda" else {},
            "budget_minutes": self.budget.minutes,
            "missing_packages": dict(self.notes),
        }
        if self.problems:
            information["failed_phases"] = list(self.problems)
        ids = [case.id for case in self.plan.cases]
        self.journal.start(self.command, self.plan.preset.name, ids, information)

    def _ceilings(self) -> dict[str, Any]:
        lane = Lane(
            "ceilings", [None], checkers.WORKER, self.environment,
            lambda case, left, waiting: {"mode": "ceilings", "device": self.device},
            self._log("ceilings"), patience_s=CEILINGS_S,
        )  # fmt: skip
        found: dict[str, Any] = {}
        self.watch.take()
        for event in self.run_lanes([lane], self.budget.ceilings_end, self.budget.words,
                                    self.budget.now):  # fmt: skip
            if event.facts:
                facts = event.facts
                found = {
                    "rates": facts["rates"], "rates_failed": facts["failed"],
                    "rates_rounds_s": facts["rounds"],
                    "rates_protocol": {**facts["protocol"], "gpu": self.watch.take()},
                }  # fmt: skip
                for name, rate in facts["rates"].items():
                    self.tell(f"  {name} {rate:.3g}")
            elif event.end and event.reason:
                found.setdefault("rates_failed", {"all": event.reason})
                self.problems.append(f"ceilings: {event.reason}")
        return found

    def _todo(self, cases: Iterable[Case]) -> list[Case]:
        return [case for case in cases if case.id not in self.journal.ended]

    def _checks(self) -> None:
        """Agreement, overflow and both sanitizers at once; beside them what will be timed is
        compiled. None of it is timed."""
        cores = max(1, (os.cpu_count() or 1) - 2)
        lanes = [self._lane("agreement", self._todo(self.plan.agreement),
                            children=1 if self.dry_run else min(_CHECKERS_AT_ONCE, cores))]  # fmt: skip
        for checker in CHECKERS:
            cases = self._todo(case for case in self.plan.checks if case.suite == checker)
            reason = checkers.why_not(checker, self.device)
            if reason:
                self._not_run(cases, reason)
            elif cases:
                lanes.append(self._lane(checker, cases))
        if not self.dry_run:
            filling = self._lane("fill", self._todo(self.plan.speed), children=_FILLERS)
            lanes.append(replace(filling, patience_s=120.0))
        held: dict[str, list[tuple[Case, list[Row], float]]] = {}
        for event in self._events(lanes, self.budget.checks_end):
            if event.lane in ("memcheck", "racecheck"):
                self._hold(event, held)
            elif event.lane != "fill":
                self._write(event)
        for checker, cases_held in held.items():
            self._conclude(checker, cases_held)

    def _timing(self) -> None:
        lane = self._lane("speed", self._todo(self.plan.speed))
        for event in self._events([replace(lane, patience_s=150.0)], self.budget.end):
            if event.start:
                self.watch.take()
            self._write(event, {"gpu": self.watch.take()} if event.rows else {})

    def _missing(self) -> None:
        """What a phase that failed left without a line."""
        done = self.journal.ended | self.journal.ended_now
        left = [case for case in self.plan.cases if case.id not in done]
        self._not_run(left, f"not reached: {'; '.join(self.problems) or 'its phase ended early'}")

    def _events(self, lanes: list[Lane], deadline: float) -> Iterator[Event]:
        for event in self.run_lanes(lanes, deadline, self.budget.words, self.budget.now):
            yield event
            if event.end and event.case is not None:
                self.counts[event.lane] = self.counts.get(event.lane, 0) + 1
                of = next(len(lane.cases) for lane in lanes if lane.name == event.lane)
                note = event.reason or f"{event.seconds:.1f} s"
                self.tell(f"  {event.lane} {self.counts[event.lane]}/{of} {event.case.id}: {note}")

    def _lane(self, name: str, cases: list[Case], children: int = 1) -> Lane:
        check = name in CHECKERS
        environment = dict(self.environment)
        if check:
            environment |= checkers.environment(name)
        if name == "fill":
            environment["TORCHINDUCTOR_COMPILE_THREADS"] = "2"
        mode = "check" if check else "fill" if name == "fill" else "measure"
        preferred = self.plan.preset.seconds_per_case

        def message(case: Case | None, left: float, waiting: int) -> dict[str, Any]:
            assert case is not None
            return {
                "mode": mode, "case": plain(case), "dry_run": self.dry_run,
                "seconds": self.budget.seconds(preferred, left, waiting),
            }  # fmt: skip

        log = self._log(name)
        command = checkers.command(name, log, checkers.tool()) if check else checkers.WORKER
        return Lane(name, cases, command, environment, message, log, children=children,
                    patience_s=90.0, stop_s=20.0 if check else 5.0)  # fmt: skip

    def _log(self, name: str) -> Path:
        return self.journal.path.parent / "logs" / f"{name}-{self.journal.session[:8]}.log"

    def _write(self, event: Event, extra: Mapping[str, Any] = {}) -> None:
        case = event.case
        assert case is not None
        rows = [Row(**fields) for fields in event.rows]
        for row in rows:
            if row.metric == checkers.METRIC and row.status == "worse":
                row.reason = checkers.overflow(event.log) or row.reason
        self.journal.results(case, rows, extra)
        if event.end:
            if event.reason:
                self.journal.results(case, self._rest(case, event.reason))
                if not event.reason.startswith(NO_TIME):
                    self.problems.append(f"{case.id}: {event.reason}")
            self.journal.end_case(case, event.seconds)

    def _rest(self, case: Case, reason: str) -> list[Row]:
        """Every cell of a case that has no line yet."""
        if case.suite in CHECKERS:
            from kernels import catalogue
            from suites.gpu import checked

            names = checked(catalogue.get(case.loss).variant(case.variant))
            rows = [row for name in names
                    for row in not_run(name, (checkers.METRIC,), reason, checker=case.suite)]  # fmt: skip
        else:
            kind = GpuMeasurement if case.suite == "speed" else Measurement
            rows = kind(case, self.plan.preset).not_run(reason)
        told = self.journal.told(case)
        return [row for row in rows if (row.contender, row.metric) not in told]

    def _not_run(self, cases: Iterable[Case], reason: str) -> None:
        for case in cases:
            self.journal.results(case, self._rest(case, reason))
            self.journal.end_case(case, 0.0)

    def _hold(self, event: Event, held: dict[str, list[tuple[Case, list[Row], float]]]) -> None:
        """A sanitizer's rows wait for its last word, which it says when its process ends."""
        case = event.case
        assert case is not None
        rows = [Row(**fields) for fields in event.rows]
        waiting = held.setdefault(event.lane, [])
        if rows or event.reason:
            rows = rows or self._rest(case, event.reason)
            waiting.append((case, rows, event.seconds))

    def _conclude(self, checker: str, held: list[tuple[Case, list[Row], float]]) -> None:
        log = self._log(checker)
        text = log.read_text(errors="replace") if log.exists() else ""
        finding = checkers.read(text)
        for case, rows, seconds in held:
            for row in rows:
                row.protocol = {"instrument": f"compute-sanitizer --tool {checker}",
                                "covers": "its whole process", "log": log.name}  # fmt: skip
                if row.status == "not_run" and row.reason.startswith(NO_TIME):
                    continue
                if finding.errors is None:
                    row.status, row.value = "not_run", None
                    row.reason = row.reason or finding.sentence
                elif finding.errors:
                    row.status, row.value, row.reason = "worse", finding.errors, finding.sentence
            self.journal.results(case, rows)
            self.journal.end_case(case, seconds)


@contextmanager
def _caches() -> Iterator[dict[str, str]]:
    """Empty caches that all children of the session share, so that what one has compiled the
    next one finds."""
    folder = tempfile.mkdtemp(prefix="marginbench-gpu-")
    try:
        yield {
            name: f"{folder}/{name.lower()}" for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_budget(minutes: float, now: Callable[[], float] = time.monotonic) -> Budget:
    return Budget(minutes, now(), now)
