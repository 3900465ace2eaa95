"""Base and candidate in processes of their own, for trees that can't be loaded side by side.

Two processes that run the same code differ by a few percent for as long as they live, whatever is
timed inside. So the unit is a pair of fresh processes, base and candidate in an order drawn by a
coin, and gives one log-ratio a case; the rule is the same, and asks for many pairs. What each side
returns is held against its own definition.
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
from . import sitting
from .decision import Rule, Sample, Stage
from .packages import BASE, CannotLoad, load
from .quads import Group
from .timing import CaseRun, Tell, Timed, judged

_SECONDS = 0.3
_LEAST_CALLS = 8
_KEPT = (2, 7)
_SILENCE_S = 300.0
# How a reason begins where the results are at fault and not the process.
_WRONG = "its results: "
# Pairs of a stage: what two processes' 3% needs for a slow-down of 3% or so.
MOST_PAIRS = 60


@dataclass(frozen=True)
class Alone:
    """One side, one process: times every case by itself."""

    tree: Path
    cases: tuple[TimedCase, ...]
    seed: int
    threads: int
    plant: str = ""
    plant_argument: float = 0.0
    root: Path = ROOT


def run(alone: Alone, parent: Connection) -> None:
    """The process's whole life: sends nanoseconds a call by case, or a reason. The lower
    quartile of the calls: on a machine that others use too, some are interrupted."""
    from ..clock import no_collection
    from ..rows import explain
    from .pair import Wrong

    if other := sitting.elsewhere(alone.root):
        parent.send({"": other})
        return
    sitting.prepare(alone.threads)
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
    from .manners import check_after, check_before
    from .pair import Pair

    pair = Pair(case, (BASE, BASE), alone.seed)
    if alone.plant:
        sitting.plant(alone.plant, pair, alone.plant_argument)
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
    tell: Tell = lambda kind, what: None,
    plant: tuple[str, float] = ("", 0.0),
) -> list[Timed]:
    """As `timing.compare`, by pairs of processes."""
    coin = random.Random(seed)

    def stage(of: Sequence[TimedCase], name: Stage) -> list[CaseRun]:
        runs = [CaseRun(case, Sample(rule, name, len(cases)), shared=False) for case in of]
        tell("stage", {"stage": name, "steps": MOST_PAIRS})
        for number in range(MOST_PAIRS):
            asked = [run for run in runs if not run.reason and not run.sample.settled]
            if not asked:
                break
            tell("start", {"stage": name, "case": f"cases left: {len(asked)}"})
            _pair(trees, asked, number, coin, threads, plant, tell)
            tell("end", {"stage": name})
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
    tell: Tell,
) -> None:
    """One process of each side; one more group of every run."""
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
        tell("group", {"stage": run.sample.stage, "case": run.case.id, **group.__dict__})


def _ask(alone: Alone) -> dict[str, Any]:
    """A process's answer; where it ended without one, that."""
    with sitting.spawned(run, alone, _SILENCE_S) as hear:
        try:
            return hear()
        except sitting.Silent as silent:
            return {"": str(silent)}
