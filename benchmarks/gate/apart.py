"""Base and candidate in separate processes, for trees that can't be loaded side by side.

Two processes that run the same code differ by a few percent for as long as they live, whatever is
timed inside. So the unit is a pair of fresh processes, base and candidate in an order drawn by a
coin, which gives one log-ratio a case. The rule is the same and needs many pairs. What each side
returns is checked against its own definition.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from suites.gate import TimedCase

from . import worker
from .abba import Group
from .packages import BASE
from .timing import CaseRun, Report, fresh
from .worker import NO_PLANT, WorkerRequest

_SECONDS = 0.3
_LEAST_CALLS = 8
_KEPT = (2, 7)
_SILENCE_S = 300.0
# How a reason begins if the results are at fault and not the process.
_WRONG = "its results: "
# Pairs in a stage: enough to find a slow-down of some 3%, where processes differ by 3%.
MOST_PAIRS = 60


def run(alone: WorkerRequest, parent: Connection) -> None:
    """All that the process does: times every case on one side, and sends nanoseconds a call by
    case, or a reason. Times are the lower quartile of the calls: on a shared machine some calls are
    interrupted."""
    from ..instruments.clock import no_collection
    from ..instruments.rows import explain
    from .pair import Wrong

    if failed := worker.prepare(alone, (0,)):
        parent.send({"": failed["reason"]})
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


def _time(alone: WorkerRequest, case: TimedCase) -> int:
    from .pair import Pair
    from .validity_checks import check_after, check_before

    pair = Pair(case, (BASE, BASE), alone.seed)
    worker.plant(alone.plant, pair)
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


def stage(ask: WorkerRequest, report: Report) -> list[CaseRun]:
    """As `timing.stage`, by pairs of processes."""
    coin = random.Random(f"{ask.seed}/{ask.stage}")
    runs = [replace(fresh(ask, case), shared=False) for case in ask.cases]
    report("stage", {"stage": ask.stage, "steps": MOST_PAIRS})
    for number in range(MOST_PAIRS):
        left = [run for run in runs if not run.reason and not run.sample.settled]
        if not left:
            break
        report("start", {"stage": ask.stage, "case": f"cases left: {len(left)}"})
        _pair(ask, left, number, coin, report)
        report("end", {"stage": ask.stage})
    return runs


def _pair(
    ask: WorkerRequest, runs: list[CaseRun], number: int, coin: random.Random, report: Report
) -> None:
    """One process of each side, which adds one group to every run."""
    order = (0, 1) if coin.random() < 0.5 else (1, 0)
    start = time.perf_counter()
    ask = replace(ask, cases=tuple(run.case for run in runs), seed=coin.randrange(2**31))
    times: list[dict[str, Any]] = [{}, {}]
    for side in order:
        planted = ask.plant if side else NO_PLANT
        times[side] = _ask(replace(ask, trees=(ask.trees[side],), plant=planted))
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


def _ask(alone: WorkerRequest) -> dict[str, Any]:
    """A process's answer, or the reason why it gave none."""
    with worker.spawned(run, alone, _SILENCE_S) as hear:
        try:
            return hear()
        except worker.Silent as silent:
            return {"": str(silent)}
