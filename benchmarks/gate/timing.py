"""The timed half of a gate: screens all cases, confirms what was found, and judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from suites.gate import TimedCase

from . import worker
from .abba import Group
from .decision import Judgement, Rule, Sample, judge
from .worker import NO_PLANT, Plant, WorkerRequest

# A process that sends nothing for so long is taken to hang.
_SILENCE_S = 120.0
Report = Callable[[str, dict[str, Any]], None]


@dataclass
class CaseRun:
    """One case in one stage: its sample, what went wrong and on which side; ``ended``: its process
    has reported the end."""

    case: TimedCase
    sample: Sample
    seconds: float = 0.0
    side: str = ""
    reason: str = ""
    shared: bool = True
    ended: bool = False
    groups: list[Group] = field(default_factory=list)

    @property
    def flagged(self) -> bool:
        """Whether it goes on to a confirmation."""
        return not self.reason and self.sample.flagged

    def add(self, group: Group) -> None:
        self.groups.append(group)
        self.sample.add(group.log_ratio)


@dataclass
class Timed:
    """A case's judgement and what it rests on; None where there was no confirmation."""

    case: TimedCase
    judgement: Judgement
    screen: CaseRun
    confirmation: CaseRun | None = None

    @property
    def last(self) -> CaseRun:
        return self.confirmation or self.screen


def compare(
    trees: tuple[Path, Path],
    cases: Sequence[TimedCase],
    rule: Rule,
    *,
    seed: int,
    threads: int,
    report: Report = lambda kind, what: None,
    plant: Plant = NO_PLANT,
    by: Callable[[WorkerRequest, Report], list[CaseRun]] | None = None,
) -> list[Timed]:
    """Every case's verdict. ``report`` is called with every message of every process as it comes,
    with its stage: a record is written from there. ``by``: what times a stage, `stage` unless
    given."""
    by = by or stage
    ask = WorkerRequest(trees, "screen", tuple(cases), rule, len(cases), seed, threads, plant)
    screens = by(ask, report)
    flagged = tuple(run.case for run in screens if run.flagged)
    again = by(replace(ask, stage="confirmation", cases=flagged), report) if flagged else []
    return judged(screens, {run.case.id: run for run in again}, len(cases))


def judged(screens: list[CaseRun], confirmed: dict[str, CaseRun], tests: int) -> list[Timed]:
    """The verdicts on all screens, in a suite of ``tests`` cases; ``confirmed``: the confirmations
    by the case's id."""
    runs = [(run, confirmed.get(run.case.id)) for run in screens]
    sound = [(a, b) for a, b in runs if not (a.reason or (b and b.reason)) and a.sample.groups]
    judgements = judge([a.sample for a, _ in sound], [b.sample if b else None for _, b in sound],
                       tests)  # fmt: skip
    by_case = {a.case.id: found for (a, _), found in zip(sound, judgements, strict=True)}
    return [Timed(a.case, by_case.get(a.case.id) or _unsound(a, b), a, b) for a, b in runs]


def _unsound(screen: CaseRun, confirmation: CaseRun | None) -> Judgement:
    bad = confirmation if confirmation and confirmation.reason else screen
    if bad.side == "candidate":
        return Judgement("WRONG", f"the candidate: {bad.reason}")
    if bad.side == "base":
        return Judgement("NOT MEASURED", f"the base: {bad.reason}")
    return Judgement("NOT MEASURED", bad.reason or "no sample was taken")


def stage(ask: WorkerRequest, report: Report) -> list[CaseRun]:
    """All cases that were asked for; if a process ends early, another continues with the rest."""
    found: list[CaseRun] = []
    left = list(ask.cases)
    report("stage", {"stage": ask.stage, "steps": len(left)})
    while left:
        runs = _one_process(replace(ask, cases=tuple(left)), report)
        found += runs
        left = left[len(runs) :]
    return found


def _one_process(ask: WorkerRequest, report: Report) -> list[CaseRun]:
    """The cases that one process finished, and the one that ended it: always at least one."""
    runs: list[CaseRun] = []
    with worker.spawned(worker.run, ask, _SILENCE_S) as hear:
        while True:
            try:
                kind, what = hear()
            except worker.Silent as silent:
                _blame(ask, runs, str(silent))
                return runs
            report(kind, {"stage": ask.stage, **what})
            if kind == "start":
                runs.append(fresh(ask, ask.cases[len(runs)]))
            elif kind == "group":
                runs[-1].add(Group(**{k: v for k, v in what.items() if k != "case"}))
            elif kind == "end":
                runs[-1].ended = True
                runs[-1].seconds, runs[-1].shared = what["seconds"], what["shared"]
                runs[-1].side, runs[-1].reason = what["side"], what["reason"]
            elif kind == "failed":
                reason = f"{what['side']}: {what['reason']}"
                return [
                    replace(fresh(ask, case), side="unknown", reason=reason) for case in ask.cases
                ]
            else:
                return runs


def fresh(ask: WorkerRequest, case: TimedCase) -> CaseRun:
    return CaseRun(case, Sample(ask.rule, ask.stage, ask.tests))


def _blame(ask: WorkerRequest, runs: list[CaseRun], reason: str) -> None:
    """Gives the reason to the case that was running, or to the next one."""
    if not runs or (len(runs) < len(ask.cases) and runs[-1].ended):
        runs.append(fresh(ask, ask.cases[len(runs)]))
    runs[-1].side, runs[-1].reason = "unknown", reason
