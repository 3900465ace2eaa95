"""The gate's own trial: verdicts on a commit against itself, and against slowed copies of itself.

A trial is one whole-suite verdict, by the same code that `gate` runs: two worktrees of one commit,
new processes, new seeds. In a power trial every case of the candidate does real extra work in every
call. Half of the trials run while every core is kept busy by another process. Each trial is written
when it ends, so at most the current one is lost; a rerun continues where the file ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from suites.gate import plan

from .. import processes
from ..instruments import machine
from ..records import digests, folders, kinds, record_files, writing
from ..records.journal import now
from ..records.kinds import TRIAL_FILE
from ..records.record_files import RecordError
from . import timing
from .decision import Rule
from .packages import CANDIDATE, load
from .trees import Trees
from .verdicts import verdict_line
from .worker import NO_PLANT


class Mixed(Exception):
    """Trials that can't be combined; says what differs and what to do."""


FILE = TRIAL_FILE
PLANT = "benchmarks.gate.trial:extra_work"
# The unit that legs are recorded in: a millisecond is 10,000 of them.
UNIT_NS = 100


@dataclass(frozen=True)
class Trial:
    """``load`` is "quiet" or "loaded", ``fraction`` the planted slow-down (0: none)."""

    number: int
    load: str
    fraction: float

    @property
    def id(self) -> str:
        return f"{self.load}/{self.fraction:g}/{self.number}"


@dataclass(frozen=True)
class Amount:
    """How many trials: unchanged ones for each load, and slowed ones by fraction."""

    same: int
    quiet: dict[float, int]
    loaded: dict[float, int]


FULL = Amount(150, {0.01: 8, 0.02: 20, 0.03: 8, 0.05: 6, 0.1: 6},
              {0.01: 2, 0.02: 4, 0.03: 20, 0.05: 4, 0.1: 2})  # fmt: skip
SMOKE = Amount(2, {0.05: 1}, {0.05: 1})


def trials(amount: Amount, load: str) -> list[Trial]:
    """Unchanged and slowed ones in a fixed random order."""
    slowed = {"quiet": amount.quiet, "loaded": amount.loaded}[load]
    found = [Trial(k, load, 0.0) for k in range(amount.same)]
    found += [Trial(k, load, f) for f, count in slowed.items() for k in range(count)]
    random.Random(load).shuffle(found)
    return found


def run(
    amount: Amount,
    trees: Trees,
    out_dir: Path,
    *,
    seed: int,
    rule: Rule | None = None,
    loads: tuple[str, ...] = ("quiet", "loaded"),
    command: str = "",
    report: Callable[[Trial, int, int, dict[str, Any]], None] = lambda *_: None,
) -> Path:
    """Runs the trials that the file in ``out_dir`` lacks; returns the file. Raises Mixed if the
    tree has uncommitted changes (the candidate would not be the commit itself), or the file holds
    trials of other code, another machine, rule or seed."""
    path = out_dir / FILE
    rule = rule or Rule()
    if trees.dirty:
        raise Mixed("gate-trust compares a commit with itself: commit the changes first")
    folders.make(out_dir, kinds.TRIAL, "--out")
    done = ended(path)
    load(trees.candidate, CANDIDATE)
    cases = plan("smoke", "cpu", CANDIDATE)
    session = {
            "kind": "session", "command": command, "started_at": now(), "seed": seed,
            "commit": trees.candidate_commit, "dirty": trees.dirty, "code": trees.code,
            "identity": machine.identity(), "information": machine.information(),
            "rule": asdict(rule), "cases": [case.id for case in cases], "unit_ns": UNIT_NS,
    }  # fmt: skip
    _check_same(path, session)
    with contextlib.closing(writing.Appender(path)) as file:
        append(file, session)
        total = sum(len(trials(amount, load)) for load in loads)
        finished = 0
        for state in loads:
            left = [one for one in trials(amount, state) if one.id not in done]
            finished += len(trials(amount, state)) - len(left)
            with _busy(state):
                for trial in left:
                    lines = _one(trial, trees, cases, rule, seed)
                    append(file, *lines)
                    finished += 1
                    report(trial, finished, total, lines[-1])
    return path


def append(file: writing.Appender, *lines: dict[str, Any]) -> None:
    """A whole trial at once: a file that is cut off lacks one trial at most."""
    file.append(*(json.dumps(one, separators=(",", ":"), allow_nan=False) for one in lines))


def _check_same(path: Path, session: dict[str, Any]) -> None:
    """Raises Mixed if the file holds trials of another session's code, seed, rule or machine."""
    for line in _lines(path):
        for name in ("code", "seed", "rule", "identity", "cases"):
            if line["kind"] == "session" and line[name] != session[name]:
                raise Mixed(
                    f"{path} holds trials with another {name}: {line[name]!r}, now "
                    f"{session[name]!r}; give another folder by --out"
                )


def ended(path: Path) -> set[str]:
    """The trials whose last line is there; what follows the last whole line counts for nothing."""
    return {line["trial"] for line in _lines(path) if line["kind"] == "trial"}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Its whole lines; raises RecordError, with the line's number, where one is damaged."""

    def parse(text: str) -> dict[str, Any]:
        line = record_files.parsed(text)
        if line["kind"] == "trial" and not isinstance(line["trial"], str):
            raise ValueError(f"trial: expected a name; got {line['trial']!r}")
        return line

    def refused(number: int, text: str, error: Exception) -> RecordError:
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        return RecordError(
            f"{path}, line {number}: is damaged: {why}; measure the trials again in a folder of "
            "their own, by --out"
        )

    return digests.read(writing.whole_lines(path), parse, refused)


def _one(trial: Trial, trees: Trees, cases: list, rule: Rule, seed: int) -> list[dict[str, Any]]:
    own = random.Random(f"{seed}/{trial.id}").randrange(2**31)
    start = time.monotonic()
    plant = (PLANT, trial.fraction) if trial.fraction else NO_PLANT
    before = os.getloadavg()[0]
    found = timing.compare(
        (trees.base, trees.candidate), cases, rule, seed=own, threads=1, plant=plant
    )
    lines = [_raw(trial, run) for one in found
             for run in (one.screen, one.confirmation) if run is not None]  # fmt: skip
    left_out = {"schema_version", "digest", "kind"}
    verdicts = [{name: value for name, value in vars(verdict_line(one)).items()
                 if name not in left_out} for one in found]  # fmt: skip
    return [*lines, {
        "kind": "trial", "trial": trial.id, "load": trial.load, "fraction": trial.fraction,
        "seed": own, "at": now(), "seconds": round(time.monotonic() - start, 2),
        "load_average": [round(before, 2), round(os.getloadavg()[0], 2)], "verdicts": verdicts,
    }]  # fmt: skip


def _raw(trial: Trial, run: timing.CaseRun) -> dict[str, Any]:
    """Every leg of a case in a stage: by group, by block, the four legs in the order base, base,
    candidate, candidate, in units; ``base_first`` marks the blocks that began with the base."""
    groups = run.groups
    return {
        "kind": "legs", "trial": trial.id, "case": run.case.id, "stage": run.sample.stage,
        "calls": groups[0].calls if groups else 0, "seconds": round(run.seconds, 3),
        "retaken": sum(group.retaken for group in groups),
        "interrupted": sum(group.interrupted for group in groups),
        "base_first": ["".join("1" if o == "ABBA" else "0" for o in g.orders) for g in groups],
        "legs": [[[round(leg / UNIT_NS) for leg in (*a, *b)]
                  for a, b in zip(g.base, g.candidate, strict=True)] for g in groups],
    }  # fmt: skip


@contextlib.contextmanager
def _busy(state: str) -> Iterator[None]:
    """While loaded, one process for each core computes without a pause."""
    if state == "quiet":
        yield
        return
    # With a thread for each core, the load would be cores squared.
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with contextlib.ExitStack() as others:
        with processes.inheriting(one_thread):
            for core in os.sched_getaffinity(0):
                others.enter_context(processes.Worker(_compute, core))
        time.sleep(2.0)  # until all of them compute
        yield


def _compute(core: int, parent: Connection) -> None:
    import numpy as np

    matrix = np.random.default_rng(0).random((400, 400))
    while True:
        matrix = matrix @ matrix
        matrix /= np.abs(matrix).max()
