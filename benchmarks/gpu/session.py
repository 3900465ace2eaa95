"""One GPU session: ceilings, then every check side by side, then the tiles of the heads and the
timing, with nothing beside them.

The budget counts from the session's first second. Checks get at most `CHECKING` of it and give back
what they don't use, as the tiles do with `TUNING` of the rest; timing gets what is left. Cases of a
plan that don't fit are dropped from its end, each with a line that says so. Every line is written
as soon as it is known; a session that was killed, or ran out of time, continues in the same folder
with what is missing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suites.cases import Case
from suites.gpu import CHECKERS, Plan
from suites.schema import Row

from .. import library
from ..records.record_files import RecordError
from . import cells, checkers, telemetry, tiles
from .budget import CEILINGS_S, Budget
from .journal import NO_TIME, Journal
from .lanes import Event, Lane, plain
from .lanes import run as run_lanes

FINE, FAILED, NOT_MEASURED, INTERRUPTED = 0, 1, 3, 130
# Children that check, and those that compile ahead; a core each, two left for this process.
_CHECKERS_AT_ONCE, _FILLERS = 8, 4
# A sanitizer that is killed reports nothing, so no case is begun that might not end in time.
_LEAST_S = {"memcheck": 12.0, "racecheck": 12.0, "tiles": 5.0, "speed": 5.0}
# By checker and case: the rows that wait for the checker's final result.
Held = dict[str, dict[str, tuple[Case, list[Row]]]]
Run = Callable[..., Iterator[Event]]


@dataclass
class Session:
    """``run_lanes`` makes the events of lanes; a test replaces it."""

    plan: Plan
    journal: Journal
    budget: Budget
    command: str
    dry_run: bool
    report: Callable[[str], None] = print
    run_lanes: Run = run_lanes
    watch: telemetry.Watch = field(default_factory=telemetry.Watch)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.device = "cpu" if self.dry_run else "cuda"
        self.problems: list[str] = []
        self.missed = "Triton's check was not shown a planted overflow"
        self.counts: dict[str, int] = {}

    def run(self) -> int:
        """0 fine, 1 something is wrong or failed, 3 nothing was measured, 130 interrupted."""
        self.watch.start()
        try:
            with _caches() as caches:
                self.environment = library.environment(**caches)
                if self.dry_run:
                    self.environment |= {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
                rates = self._phase("ceilings", self._ceilings) or {}
                self._begin(rates)
                self._phase("checks", self._checks)
                self._phase("tiles", self._tiles)
                self._phase("timing", self._timing)
                self._phase("what is missing", self._missing)
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            self.watch.close()
        self.journal.end_run(self.budget.now() - self.budget.start)
        if self.problems or self.journal.worse:
            return FAILED
        return FINE if self.journal.measured else NOT_MEASURED

    def _phase(self, name: str, work: Callable[[], Any]) -> Any:
        """A phase that fails ends only itself. A full disk ends the session."""
        self.report(f"{name}: {self.budget.left:.0f} s left")
        try:
            return work()
        except (OSError, RecordError):
            raise
        except Exception as error:
            self.problems.append(f"{name}: {type(error).__name__}: {error}")
            self.report(self.problems[-1])
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
        self.journal.begin(self.command, self.plan.preset.name, ids, information)

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
                    self.report(f"  {name} {rate:.3g}")
            elif event.end and event.reason:
                found.setdefault("rates_failed", {"all": event.reason})
                self.problems.append(f"ceilings: {event.reason}")
        return found

    def _todo(self, cases: Iterable[Case]) -> list[Case]:
        return [case for case in cases if case.id not in self.journal.ended]

    def _checks(self) -> None:
        """Agreement, overflow and both sanitizers at once; meanwhile, what will be timed is
        compiled. None of it is timed."""
        cores = max(1, (os.cpu_count() or 1) - 2)
        children = 1 if self.dry_run else min(_CHECKERS_AT_ONCE, cores)
        lanes = [self._lane("agreement", self._todo(self.plan.agreement), children)]
        for checker in CHECKERS:
            cases = self._todo(case for case in self.plan.checks if case.suite == checker)
            reason = checkers.why_not(checker, self.device)
            if reason:
                self._not_run(cases, reason)
            elif cases:
                lanes.append(self._lane(checker, cases))
        if not self.dry_run:
            for name, ahead in (("fill", self.plan.speed), ("fill-tiles", self.plan.tiles)):
                filling = self._lane(name, self._todo(ahead), children=_FILLERS)
                lanes.append(replace(filling, patience_s=120.0))
        held: Held = {}
        for event in self._events(lanes, self.budget.checks_end):
            if event.case is None:
                self._control(event)
            elif event.lane in ("memcheck", "racecheck"):
                self._hold(event, held)
            elif not event.lane.startswith("fill"):
                self._write(event)
        for checker, cases_held in held.items():
            self._conclude(checker, cases_held)

    def _control(self, event: Event) -> None:
        """Whether Triton's check found the overflow that was planted; a sanitizer says so in its
        log."""
        if event.lane == "overflow" and event.end:
            said = f"{event.reason} {event.log}"
            found = checkers.overflow(said) or "assert" in said
            self.missed = "" if found else "Triton's check did not find a planted overflow"
            if self.missed and not event.reason.startswith(NO_TIME):
                self.problems.append(f"overflow: {self.missed}")

    def _tiles(self) -> None:
        """Times what the tiles of the heads may be, one by one, and proposes a table."""
        self._alone("tiles", self.plan.tiles, self.budget.tiles_end)
        for line in tiles.propose(self.journal.path):
            self.report(f"  {line}")

    def _timing(self) -> None:
        self._alone("speed", self.plan.speed, self.budget.end)

    def _alone(self, name: str, cases: Iterable[Case], deadline: float) -> None:
        """What is timed, with nothing beside it."""
        lane = self._lane(name, self._todo(cases))
        for event in self._events([replace(lane, patience_s=150.0)], deadline):
            if event.start:
                self.watch.take()
            timed = any(fields["metric"].endswith("_time_s") for fields in event.rows)
            self._write(event, {"gpu": self.watch.take()} if timed else {})

    def _missing(self) -> None:
        """A line for each case that a failed phase left without one."""
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
                self.report(
                    f"  {event.lane} {self.counts[event.lane]}/{of} {event.case.id}: {note}"
                )

    def _lane(self, name: str, cases: list[Case], children: int = 1) -> Lane:
        check = name in CHECKERS
        environment = dict(self.environment)
        if check:
            environment |= checkers.environment(name)
        if name.startswith("fill"):
            environment["TORCHINDUCTOR_COMPILE_THREADS"] = "2"
        mode = "check" if check else "fill" if name.startswith("fill") else "measure"
        preferred = self.plan.preset.seconds_per_case

        def message(case: Case | None, left: float, waiting: int) -> dict[str, Any]:
            if case is None:
                return {"mode": "control", "checker": name, "device": self.device}
            return {
                "mode": mode, "case": plain(case), "dry_run": self.dry_run,
                "seconds": self.budget.seconds(preferred, left, waiting),
            }  # fmt: skip

        log = self._log(name)
        command = checkers.command(name, log, checkers.tool()) if check else checkers.WORKER
        first = [None] if name in checkers.PLANTED else []
        return Lane(name, [*first, *cases], command, environment, message, log, children=children,
                    patience_s=90.0, least_s=_LEAST_S.get(name, 1.0),
                    stop_s=20.0 if check else 5.0)  # fmt: skip

    def _log(self, name: str) -> Path:
        return self.journal.path.parent / "logs" / f"{name}-{self.journal.session[:8]}.log"

    def _write(self, event: Event, extra: Mapping[str, Any] = {}) -> None:
        case = event.case
        assert case is not None
        rows = [Row(**fields) for fields in event.rows]
        if case.suite == "overflow":
            rows = [self._overflow(row, event.log) for row in rows]
        self.journal.results(case, rows, extra)
        if event.end:
            if event.reason:
                self.journal.results(case, self._rest(case, event.reason))
                if not event.reason.startswith(NO_TIME):
                    self.problems.append(f"{case.id}: {event.reason}")
            self.journal.end_case(case, event.seconds)

    def _overflow(self, row: Row, log: str) -> Row:
        found = checkers.Finding(0)
        if row.status == "worse":
            found = checkers.Finding(1, checkers.overflow(log) or row.reason)
        return cells.judged(row, "overflow", found, self.missed)

    def _rest(self, case: Case, reason: str) -> list[Row]:
        return cells.rest(case, self.plan.preset, reason, self.journal.reported(case))

    def _not_run(self, cases: Iterable[Case], reason: str) -> None:
        for case in cases:
            self.journal.results(case, self._rest(case, reason))
            self.journal.end_case(case, 0.0)

    def _hold(self, event: Event, held: Held) -> None:
        """Holds a sanitizer's rows until its result, which comes when its process ends."""
        case = event.case
        assert case is not None
        rows = [Row(**fields) for fields in event.rows]
        if rows or event.reason:
            rows = rows or self._rest(case, event.reason)
            held.setdefault(event.lane, {}).setdefault(case.id, (case, rows))

    def _conclude(self, checker: str, held: Mapping[str, tuple[Case, list[Row]]]) -> None:
        found, missed = checkers.read_all(self._log(checker))
        self.report(f"  {checker}: {found.sentence or f'{found.errors} errors'}")
        if missed and checker in checkers.PLANTED and found.errors is not None:
            self.problems.append(f"{checker}: {missed}")
        for case, rows in held.values():
            rows = [cells.judged(row, checker, found, missed) for row in rows]
            self.journal.results(case, rows)
            self.journal.end_case(case, 0.0)


@contextmanager
def _caches() -> Iterator[dict[str, str]]:
    """Empty caches that all children of the session share, so that none compiles what another has
    compiled."""
    folder = tempfile.mkdtemp(prefix="marginbench-gpu-")
    try:
        yield {
            "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor",
            "TRITON_CACHE_DIR": f"{folder}/triton",
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
