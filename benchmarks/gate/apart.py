"""Base and candidate in separate processes, for trees that can't be loaded side by side.

Two processes that run the same code differ by a few percent for as long as they live, whatever is
timed inside. So the unit is a pair of fresh processes, base and candidate in an order drawn by a
coin, which gives one log-ratio a case. The rule is the same and needs many pairs. What each side
returns is checked against its own definition.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from suites.gate import TimedCase

from ..machine import ROOT
from . import worker
from .abba import Group
from .decision import Rule, Sample, Stage
from .packages import BASE, CannotLoad, load
from .timing import CaseRun, Report, Timed, judged

_SECONDS = 0.3
_LEAST_CALLS = 8
_KEPT = (2, 7)
_SILENCE_S = 300.0
# How a reason begins if the results are at fault and not the process.
_WRONG = "its results: "
# Pairs in a stage: enough to find a slow-down of some 3%, where processes differ by 3%.
MOST_PAIRS = 60


@dataclass(frozen=True)
class Alone:
    """What one process is asked to do: time every case on one side."""

    tree: Path
    cases: tuple[TimedCase, ...]
    seed: int
    threads: int
    plant: str = ""
    plant_argument: float = 0.0
    root: Path = ROOT


def run(alone: Alone, parent: Connection) -> None:
    """All that the process does: sends nanoseconds a call by case, or a reason. Times are the lower
    quartile of the calls: on a shared machine some calls are interrupted."""
    from ..clock import no_collection
    from ..rows import explain
    from .pair import Wrong

    if other := worker.elsewhere(alone.root):
        parent.send({"": other})
        return
    worker.prepare(alone.threads)
    try:
        load(alone.tree, BASE)
    except CannotLoad as error:
        parent.send({"": str(error)})
        return
    found: dict[str, Any] = {}
    with no_collection():
        for case in alone.cases:
            try:
                found[case.id] = _time(alone, case)
            except Wrong as wrong:
                found[case.id] = f"{_WRONG}{wrong.reason}"
            except Exception as error:
                found[case.id] = explain(error)
    parent.send(found)


def _time(alone: Alone, case: TimedCase) -> int:
    from .pair import Pair
    from .validity_checks import check_after, check_before

    pair = Pair(case, (BASE, BASE), alone.seed)
    if alone.plant:
        worker.plant(alone.plant, pair, alone.plant_argument)
    side = pair.sides[1]
    check_before(pair, side)
    for _ in range(_LEAST_CALLS):
        pair.call(side)
    times: list[int] = []
    start = time.perf_counter()
    while len(times) < _LEAST_CALLS or time.perf_counter() - start < _SECONDS:
        times.append(pair.call(side, keep=len(times) in _KEPT))
    check_after(pair, side, min(times) * 1e-9)
    return sorted(times)[len(times) // 4]


def compare(
    trees: tuple[Path, Path],
    cases: Sequence[TimedCase],
    rule: Rule,
    *,
    seed: int,
    threads: int,
    report: Report = lambda kind, what: None,
    plant: tuple[str, float] = ("", 0.0),
) -> list[Timed]:
    """As `timing.compare`, by pairs of processes."""
    coin = random.Random(seed)

    def stage(of: Sequence[TimedCase], name: Stage) -> list[CaseRun]:
        runs = [CaseRun(case, Sample(rule, name, len(cases)), shared=False) for case in of]
        report("stage", {"stage": name, "steps": MOST_PAIRS})
        for number in range(MOST_PAIRS):
            asked = [run for run in runs if not run.reason and not run.sample.settled]
            if not asked:
                break
            report("start", {"stage": name, "case": f"cases left: {len(asked)}"})
            _pair(trees, asked, number, coin, threads, plant, report)
            report("end", {"stage": name})
        return runs

    screens = stage(cases, "screen")
    flagged = [run.case for run in screens if run.flagged]
    confirmed = {run.case.id: run for run in stage(flagged, "confirmation")}
    return judged(screens, confirmed, len(cases))


def _pair(
    trees: tuple[Path, Path],
    runs: list[CaseRun],
    number: int,
    coin: random.Random,
    threads: int,
    plant: tuple[str, float],
    report: Report,
) -> None:
    """One process of each side, which adds one group to every run."""
    order = (0, 1) if coin.random() < 0.5 else (1, 0)
    start = time.perf_counter()
    seed = coin.randrange(2**31)
    times: list[dict[str, Any]] = [{}, {}]
    for side in order:
        planted = plant if side else ("", 0.0)
        ask = Alone(trees[side], tuple(run.case for run in runs), seed, threads, *planted)
        times[side] = _ask(ask)
    seconds = (time.perf_counter() - start) / len(runs)
    for run in runs:
        run.seconds += seconds
        base, candidate = (one.get(run.case.id, one.get("", "no answer")) for one in times)
        for name, got in (("base", base), ("candidate", candidate)):
            if isinstance(got, str) and not run.reason:
                run.side = name if got.startswith(_WRONG) else "unknown"
                run.reason = got.removeprefix(_WRONG) if run.side == name else f"{name}: {got}"
        if run.reason:
            continue
        group = Group(number, 1, ("ABBA" if order[0] == 0 else "BAAB",), ((base, base),),
                      ((candidate, candidate),))  # fmt: skip
        run.add(group)
        report("group", {"stage": run.sample.stage, "case": run.case.id, **group.__dict__})


def _ask(alone: Alone) -> dict[str, Any]:
    """A process's answer, or the reason why it gave none."""
    with worker.spawned(run, alone, _SILENCE_S) as hear:
        try:
            return hear()
        except worker.Silent as silent:
            return {"": str(silent)}
