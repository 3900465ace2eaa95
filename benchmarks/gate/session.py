"""One gate from start to end: exact half, timed half, records, and the exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.gate import TimedCase, plan

from ..instruments import machine
from ..records import folders, kinds
from ..records.journal import now
from ..snapshots.pin_files import PinError, folder_of
from . import apart, changes, inventory, timing
from .decision import Rule
from .packages import BASE, CANDIDATE, CannotLoad, load
from .records import FILE, GateEnd, GateExact, GateGroup, GateStart, Writer
from .timing import Timed
from .trees import Trees, different_versions
from .verdicts import verdict_line
from .worker import NO_PLANT, Plant

if TYPE_CHECKING:
    from ..snapshots.exact.check import ExactOutcome
    from ..snapshots.exact.rows import ExactDifference

FINE, REGRESSION, NOT_MEASURED = 0, 1, 3  # 2 is bad usage, reported by the command line


@dataclass(frozen=True)
class Asked:
    """What a gate is to do. ``exact`` returns the exact half's outcome against the base's tree;
    None leaves that half out. ``only`` narrows the timed cases to ids that contain it, ``losses``
    to these; unless either does, or ``whole``, losses that did not change are not timed. ``apart``
    runs each side in separate processes."""

    suite: str
    device: str
    seed: int
    threads: int
    rule: Rule
    command: str
    timed: bool = True
    exact: Callable[[Path], ExactOutcome] | None = None
    only: str = ""
    losses: tuple[str, ...] = ()
    whole: bool = False
    apart: bool = False
    plant: Plant = NO_PLANT


@dataclass(frozen=True)
class Outcome:
    """``code`` is the exit code, ``sentence`` says why."""

    code: int
    sentence: str
    records: Path


Progress = Callable[[str, dict[str, Any]], None]


def run(asked: Asked, trees: Trees, out_dir: Path, report: Progress = lambda k, w: None) -> Outcome:
    """Everything that was asked for, written to ``out_dir`` as it is measured. The exit code is 0
    only if something was measured, and nothing is worse or unknown."""
    started = time.monotonic()
    folders.make(out_dir, kinds.GATE, "--out")
    writer = Writer(out_dir / FILE)
    try:
        planned = _plan(asked, trees) if asked.timed else _Plan([], [])
        problem = planned.problem
        writer.append(_start(asked, trees, planned))
        exact = _exact(asked, trees, writer, report)
        timed: list[Timed] = []
        if asked.timed and not problem:
            if planned.cases:
                timed = _timed(asked, trees, planned.cases, writer, report)
            problem = _vanished(planned.lost)
        notes = []
        if planned.unpaired:
            notes.append(f"{len(planned.unpaired)} timed cases without a counterpart")
        if asked.timed and trees.same_kernels:
            notes.append("kernels/ is the same on both sides")
        if planned.unchanged:
            since = f"unchanged since {trees.base_commit[:12]}"
            notes.append(f"not timed: {', '.join(planned.unchanged)} ({since})")
        if exact and exact.left_out:
            notes.append(exact.left_out)
        expected = asked.timed and not planned.unchanged
        outcome = _outcome(asked, exact, timed, problem, notes, writer.path, expected)
        writer.append(GateEnd(exit_code=outcome.code, outcome=outcome.sentence,
                              seconds=round(time.monotonic() - started, 1)))  # fmt: skip
        return outcome
    finally:
        writer.close()


@dataclass(frozen=True)
class _Plan:
    """``cases`` are in both trees, ``unpaired`` are the ids in one, with its side; ``problem`` is
    what rules out timing, ``lost`` the ids that rule out a pass. ``unchanged`` are losses whose
    cases are left out: there is nothing to compare."""

    cases: list[TimedCase]
    unpaired: list[str]
    problem: str = ""
    lost: Sequence[str] = ()
    unchanged: Sequence[str] = ()


def _plan(asked: Asked, trees: Trees) -> _Plan:
    plans = []
    for tree, name in ((trees.base, BASE), (trees.candidate, CANDIDATE)):
        try:
            load(tree, name)
            plans.append({case.id: case for case in plan(asked.suite, asked.device, name)})
        except CannotLoad as error:
            return _Plan([], [], str(error))
    base, candidate = plans
    both = [case for name, case in candidate.items() if name in base and _wanted(asked, name)]
    gone, new = ([name for name in a if name not in b and _wanted(asked, name)]
                 for a, b in ((base, candidate), (candidate, base)))  # fmt: skip
    unpaired = [*(f"base: {name}" for name in gone), *(f"candidate: {name}" for name in new)]
    # A case still in the candidate's own list is lost; one taken off the list was meant to go.
    # Without a list every missing case counts as lost.
    pinned = _inventory(trees.candidate)
    lost = sorted(set(gone) & set(pinned) if pinned else set(gone))
    problem = ""
    if not both:
        problem = "no timed case is in both base and candidate"
    elif different := different_versions(trees):
        problem = f"no timed comparison across versions: {'; '.join(different)}"
    unchanged = [] if problem else _unchanged(asked, trees, both)
    cases = [case for case in both if case.loss not in unchanged]
    return _Plan(cases, unpaired, problem, lost, unchanged)


def _wanted(asked: Asked, case: str) -> bool:
    return asked.only in case and inventory.is_of(asked.losses, case)


def _unchanged(asked: Asked, trees: Trees, cases: Sequence[TimedCase]) -> list[str]:
    """The losses that need no timing, unless the user names what is to be timed."""
    if asked.whole or asked.only or asked.losses:
        return []
    folders = {loss: folder_of(loss) for loss in sorted({case.loss for case in cases})}
    same = changes.unchanged(trees.base, trees.candidate, folders.values())
    return [loss for loss, folder in folders.items() if folder in same]


def _vanished(lost: Sequence[str]) -> str:
    return f"timed case vanished: {', '.join(lost)}" if lost else ""


def _start(asked: Asked, trees: Trees, planned: _Plan) -> GateStart:
    return GateStart(
        command=asked.command, started_at=now(), base_commit=trees.base_commit,
        candidate_commit=trees.candidate_commit, dirty=trees.dirty, code=trees.code,
        identity=machine.identity(), information=machine.information(), suite=asked.suite,
        device=asked.device, seed=asked.seed, threads=asked.threads, rule=asdict(asked.rule),
        cases=[case.id for case in planned.cases], unpaired=planned.unpaired,
        lost=list(planned.lost), unchanged=list(planned.unchanged),
        planted=f"{asked.plant[0]}({asked.plant[1]:g})" if asked.plant[0] else "",
    )  # fmt: skip


def _exact(asked: Asked, trees: Trees, writer: Writer, report: Progress) -> GateExact | None:
    if asked.exact is None:
        return None
    report("exact", {})
    found = asked.exact(trees.base)
    differences, code = said(found), found.code
    pinned = _inventory(trees.candidate)
    if not pinned:
        code = code or NOT_MEASURED
        differences.append("no list of timed cases is pinned: marginbench gate --pin")
    every = (pinned, inventory.declared(), _inventory(trees.base))
    listed = inventory.compare(*(inventory.of(asked.losses, ids) for ids in every))
    if pinned and listed.unpinned:
        differences += [f"timed case not pinned: {one}" for one in listed.unpinned]
        code = REGRESSION
    if listed.vanished:
        differences += [f"timed case vanished: {one}" for one in listed.vanished]
        code = code if code == REGRESSION else NOT_MEASURED
    if trees.moved():
        code = code or NOT_MEASURED
        differences.append("the working tree was changed while its exact figures were measured")
    line = GateExact(
        code=code, rows=len(found.rows) + found.compiled, differences=differences,
        repinned=[*map(_sentence, found.repinned),
                  *(f"timed case removed in this change: {one}" for one in listed.removed)],
        left_out=found.left_out,
    )  # fmt: skip
    writer.append(line)
    return line


def said(found: ExactOutcome) -> list[str]:
    """Everything that is not as it should be, a sentence each."""
    wrong = (*found.broken, *found.differences, *found.unmeasured)
    return [*map(_sentence, wrong), *found.problems]


def _sentence(one: ExactDifference) -> str:
    text = f"{one.case} {one.contender} {one.metric}: {one.before} -> {one.after}"
    return f"{text} ({one.reason})" if one.reason else text


def _inventory(tree: Path) -> list[str]:
    """The timed cases that a tree has pinned; none if its pins can't be read."""
    try:
        return inventory.read(tree)
    except (PinError, OSError):
        return []


def _timed(
    asked: Asked, trees: Trees, cases: list[TimedCase], writer: Writer, report: Progress
) -> list[Timed]:
    def hear(kind: str, what: dict[str, Any]) -> None:
        if kind == "group":
            fields = {name: what[name] for name in GateGroup.__dataclass_fields__ if name in what}
            writer.append(GateGroup(**fields))
        report(kind, what)

    found = timing.compare(
        (trees.base, trees.candidate), cases, asked.rule, seed=asked.seed, threads=asked.threads,
        report=hear, plant=asked.plant, by=apart.stage if asked.apart else timing.stage,
    )  # fmt: skip
    for one in found:
        writer.append(verdict_line(one))
    return found


def _outcome(
    asked: Asked,
    exact: GateExact | None,
    timed: list[Timed],
    problem: str,
    notes: list[str],
    path: Path,
    times_expected: bool,
) -> Outcome:
    """1 if anything is worse, else 3 if anything is not known, else 0."""
    by_verdict: dict[str, list[str]] = {}
    for one in timed:
        by_verdict.setdefault(one.judgement.verdict, []).append(one.case.id)
    worse = [f"{len(by_verdict[v])} {v}" for v in ("SLOWER", "WRONG") if v in by_verdict]
    unknown = [
        f"{len(by_verdict[v])} {v}" for v in ("INCONCLUSIVE", "NOT MEASURED") if v in by_verdict
    ]
    if exact and exact.code == REGRESSION:
        worse.append(f"{len(exact.differences)} exact figures not as pinned")
    elif exact and exact.code:
        unknown.append(
            exact.differences[0] if exact.differences else "the exact half has no result"
        )
    if problem.startswith(f"{CANDIDATE}:"):
        worse.append(f"the candidate can't be loaded: {problem}")
    elif problem:
        unknown.append(problem)
    if times_expected and not timed and not problem:
        unknown.append("no timed case was measured")
    if not asked.timed and exact is None:
        unknown.append("nothing was asked for")
    code = REGRESSION if worse else NOT_MEASURED if unknown else FINE
    said = [*worse, *unknown] or [_all_well(exact, timed, notes)]
    return Outcome(code, "; ".join(said), path)


def _all_well(exact: GateExact | None, timed: list[Timed], notes: list[str]) -> str:
    parts = [f"{exact.rows} exact figures as pinned"] if exact else []
    faster = sum(one.judgement.verdict == "FASTER" for one in timed)
    if timed:
        text = f"{len(timed)} timed cases without a slow-down"
        parts.append(text + (f", {faster} of them faster" if faster else ""))
    return "; ".join([*parts, *notes])
