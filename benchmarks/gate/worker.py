"""One process of the gate: loads both trees, times case after case, and reports to its parent.

A message is a kind and a dictionary: ``start`` (case), ``group`` (case, group), ``end`` (case, and
what became of it), ``failed`` (the trees could not be loaded), ``done``. The process ends a case
once its sample is settled; noticing that the process itself died is left to the parent.
"""

from __future__ import annotations

import math
import os
import pkgutil
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from suites.gate import TimedCase

from .. import processes
from ..instruments.machine import ROOT
from .decision import Rule, Sample, Stage
from .packages import BASE, CANDIDATE, CannotLoad, load
from .throttle import throttled

Plant = tuple[str, float]
NO_PLANT: Plant = ("", 0.0)


@dataclass(frozen=True)
class WorkerRequest:
    """What a process is asked to do. ``trees``: folders of base and candidate, or of the one side
    that it times; ``tests``: cases of the whole suite; ``plant``: a function ``module:name`` that
    is given each pair before it is timed, and its argument, for the gate's own trial."""

    trees: tuple[Path, ...]
    stage: Stage
    cases: tuple[TimedCase, ...]
    rule: Rule
    tests: int
    seed: int
    threads: int
    plant: Plant = NO_PLANT
    root: Path = ROOT


def run(request: WorkerRequest, parent: Connection) -> None:
    """All that the process does."""
    from ..instruments.clock import no_collection

    # What is loaded first lies elsewhere in memory, so the second process swaps the order.
    if failed := prepare(request, (0, 1) if request.stage == "screen" else (1, 0)):
        parent.send(("failed", failed))
        return
    with no_collection():
        for case in request.cases:
            parent.send(("start", {"case": case.id}))
            parent.send(("end", {"case": case.id, **_measure(request, case, parent)}))
    parent.send(("done", {}))


def _measure(request: WorkerRequest, case: TimedCase, parent: Connection) -> dict[str, Any]:
    from ..instruments.rows import explain
    from .abba import Timing
    from .pair import Pair, Wrong
    from .validity_checks import check_after, check_before

    found = {"side": "", "reason": "", "seconds": 0.0, "shared": True}
    seed = random.Random(f"{request.seed}/{request.stage}/{case.id}").randrange(2**31)
    try:
        pair = Pair(case, (BASE, CANDIDATE), seed)
        found["shared"] = pair.shared
        plant(request.plant, pair)
        for side in pair.sides:
            check_before(pair, side)
        timing = Timing(pair)
        sample = Sample(request.rule, request.stage, request.tests)
        fastest = [math.inf, math.inf]
        for group in timing.groups():
            sample.add(group.log_ratio)
            parent.send(("group", {"case": case.id, **asdict(group)}))
            fastest = list(map(min, fastest, group.fastest_s))
            if sample.settled or timing.spent_s >= request.rule.stage_s:
                break
        found["seconds"] = timing.spent_s
        void = throttled(case.device)  # now, while the GPU is still warm
        for side, seconds in zip(pair.sides, fastest, strict=True):
            check_after(pair, side, seconds)
        if void:
            found |= {"side": "unknown", "reason": void}
    except Wrong as wrong:
        found |= {"side": wrong.side, "reason": wrong.reason}
    except Exception as error:
        found |= {"side": "unknown", "reason": explain(error)}
    return found


def prepare(request: WorkerRequest, order: Sequence[int]) -> dict[str, str]:
    """Sets up the process the same way for both sides of every case, and loads the trees in this
    order. Returns the side that is at fault and the reason where that can't be done."""
    import torch

    if request.root != ROOT:  # a new process imports from the current folder first
        return {"side": "gate", "reason": f"started for {request.root}, but the current folder has "
                f"the code of {ROOT}: start it there"}  # fmt: skip
    torch.set_num_threads(request.threads)
    # Both sides use the tiles of the table: autotuning is not what is compared.
    os.environ.pop("MARGINBENCH_AUTOTUNE", None)
    for i in order:
        try:
            load(request.trees[i], (BASE, CANDIDATE)[i])
        except CannotLoad as error:
            return {"side": ("base", "candidate")[i], "reason": str(error)}
    return {}


def plant(planted: Plant, pair: Any) -> None:
    """Calls the function with the pair and the argument, if there is one."""
    entry, argument = planted
    if entry:
        pkgutil.resolve_name(entry)(pair, argument)


class Silent(Exception):
    """A process that sends nothing more; says what became of it."""


@contextmanager
def spawned(
    target: Callable[[Any, Connection], None], asked: Any, patience_s: float
) -> Iterator[Callable[[], Any]]:
    """A process that runs ``target(asked, its end of a pipe)``, forked from a server that has
    imported torch once, and killed when the context ends. Yields a function that returns the next
    message; it raises Silent when the process has ended, or sent nothing for ``patience_s``."""
    with processes.Worker(target, asked, PRELOADED) as child:

        def hear() -> Any:
            try:
                message = child.receive(patience_s)
            except processes.Ended as ended:
                raise Silent(f"its process ended with code {ended.code}") from None
            if message is None:
                raise Silent(f"its process sent nothing for {patience_s:g} s")
            return message

        yield hear


# Asking torch for deterministic algorithms imports its compiler's settings: two seconds, once.
PRELOADED: Sequence[str] = (
    "torch", "torch._inductor.config", "benchmarks.gate.worker", "benchmarks.gate.abba",
    "benchmarks.gate.validity_checks",
)  # fmt: skip
