"""One process of the gate: loads both trees, times case after case, and tells its parent.

A message is a kind and a dictionary: ``start`` (case), ``group`` (case, group), ``end`` (case, and
what became of it), ``failed`` (the trees could not be loaded), ``done``. Whatever happens to the
process is the parent's to notice; a sample that is settled ends its case here.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from suites.gate import TimedCase

from ..machine import ROOT
from .decision import Rule, Sample, Stage
from .packages import BASE, CANDIDATE, CannotLoad, load
from .throttle import throttled


@dataclass(frozen=True)
class Sitting:
    """What a process is asked to do. ``trees``: folders of base and candidate; ``tests``: cases
    of the whole suite; ``plant`` names a function ``module:name`` that is given each pair before
    it is timed, for the gate's own trial."""

    trees: tuple[Path, Path]
    stage: Stage
    cases: tuple[TimedCase, ...]
    rule: Rule
    tests: int
    seed: int
    threads: int
    plant: str = ""
    plant_argument: float = 0.0
    root: Path = ROOT


def run(sitting: Sitting, parent: Connection) -> None:
    """The process's whole life."""
    from ..clock import no_collection

    if other := elsewhere(sitting.root):
        parent.send(("failed", {"side": "gate", "reason": other}))
        return
    prepare(sitting.threads)
    # Whichever is loaded first lies elsewhere in memory: the second process turns them round.
    order = (0, 1) if sitting.stage == "screen" else (1, 0)
    names = (BASE, CANDIDATE)
    try:
        for i in order:
            load(sitting.trees[i], names[i])
    except CannotLoad as error:
        parent.send(("failed", {"side": ("base", "candidate")[i], "reason": str(error)}))
        return
    with no_collection():
        for case in sitting.cases:
            parent.send(("start", {"case": case.id}))
            parent.send(("end", {"case": case.id, **_measure(sitting, case, parent)}))
    parent.send(("done", {}))


def _measure(sitting: Sitting, case: TimedCase, parent: Connection) -> dict[str, Any]:
    from ..rows import explain
    from .manners import check_after, check_before
    from .pair import Pair, Wrong
    from .quads import Timing

    found = {"side": "", "reason": "", "seconds": 0.0, "shared": True}
    seed = random.Random(f"{sitting.seed}/{sitting.stage}/{case.id}").randrange(2**31)
    try:
        pair = Pair(case, (BASE, CANDIDATE), seed)
        found["shared"] = pair.shared
        if sitting.plant:
            plant(sitting.plant, pair, sitting.plant_argument)
        for side in pair.sides:
            check_before(pair, side)
        timing = Timing(pair)
        sample = Sample(sitting.rule, sitting.stage, sitting.tests)
        fastest = [math.inf, math.inf]
        for group in timing.groups():
            sample.add(group.log_ratio)
            parent.send(("group", {"case": case.id, **asdict(group)}))
            fastest = list(map(min, fastest, group.fastest_s))
            if sample.settled or timing.spent_s >= sitting.rule.stage_s:
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


def prepare(threads: int) -> None:
    """The process as every side of every case finds it."""
    import torch

    torch.set_num_threads(threads)
    # Tiles are what the table says, on both sides: choosing them anew is not what is compared.
    os.environ.pop("MARGINBENCH_AUTOTUNE", None)


def elsewhere(root: Path) -> str:
    """Why this process is none of the clone at ``root``, as a sentence: a new process looks for
    its code in the current folder first. Empty where it is."""
    if root == ROOT:
        return ""
    return f"started for {root}, but the current folder has the code of {ROOT}: start it there"


def plant(entry: str, pair: Any, argument: float) -> None:
    """Has ``module:function`` do to the pair what it does."""
    import importlib

    module, _, name = entry.partition(":")
    getattr(importlib.import_module(module), name)(pair, argument)


class Silent(Exception):
    """A process that says no more; says what became of it."""


@contextmanager
def spawned(
    target: Callable[..., None], asked: Any, patience_s: float
) -> Iterator[Callable[[], Any]]:
    """A process that runs ``target(asked, its end of a pipe)``, forked off a server that has
    imported torch once, and ended with the context. Gives what to call for its next message: that
    raises Silent where the process has ended, or said nothing for ``patience_s``."""
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    messages, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(asked, theirs), daemon=True)
    process.start()
    theirs.close()

    def hear() -> Any:
        try:
            if messages.poll(patience_s):
                return messages.recv()
        except EOFError:
            process.join(5)
            raise Silent(f"its process ended with code {process.exitcode}") from None
        raise Silent(f"nothing was heard of it for {patience_s:g} s")

    try:
        yield hear
    finally:
        process.kill()
        process.join()
        messages.close()


# Asking torch for deterministic algorithms imports its compiler's settings: two seconds, once.
PRELOADED: Sequence[str] = (
    "torch", "torch._inductor.config", "benchmarks.gate.sitting", "benchmarks.gate.quads",
    "benchmarks.gate.manners",
)  # fmt: skip
