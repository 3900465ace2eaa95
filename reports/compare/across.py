"""Runs against runs, or two contenders inside one: what differs, and the exit code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from marginbench.catalogue import UnknownName

from .. import reading
from . import contenders, exact, page, shift
from .benchmark_files import FINE, NOT_COMPARED, REGRESSION
from .page import Comparison, Part
from .ratios import LEVEL, Found, Rule, Verdict, compare, differences, once_each
from .runs import Run, file_of, load
from .sides import Side

_MOST_LINES = 20
_VERSION = "version of "


@dataclass(frozen=True)
class Asked:
    """``contenders``: only these. ``across``: compare times although the machines differ."""

    rule: Rule
    across: bool = False
    contenders: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Compared:
    """``code`` is the exit code; ``reason`` says why nothing was compared, where nothing was."""

    made: Comparison
    code: int
    reason: str = ""


def run(base: Side, candidates: Sequence[Side], asked: Asked) -> Compared:
    """Compares each candidate with the base; exit code 0, 1 or 3. Raises NotComparable, and
    UnknownName for a contender that no run has."""
    before = [load(path) for path in base.paths]
    parts = [_part(before, base, side, asked) for side in candidates]
    title = f"{', '.join(side.label for side in candidates)} against {base.label}"
    made = Comparison(title, base.label, before, parts, asked.command)
    return Compared(made, max((exit_code(part) for part in parts), key=_gravity))


def inside(side: Side, asked: Asked) -> Compared:
    """The second contender against the first, in one run. Slower is an answer and no failure:
    0 where something was compared, else 3. Raises NotComparable, and UnknownName for a contender
    that the run lacks."""
    first, second = asked.contenders
    (one,) = (load(path) for path in side.paths)
    _refuse_unknown(asked.contenders, [one])
    file = file_of(side.paths[0])
    assert file is not None, "it was loaded"
    timed = contenders.timed(reading.load(file), first, second, asked.rule)
    found = contenders.exact(one, first, second)
    how = (
        "Both ran in one process, their rounds back to back. Each ratio is the median over the "
        "rounds, with its own 95% interval. If both were equally fast, about "
        f"{math.ceil(0.05 * len(timed))} of the {len(timed)} intervals would still exclude 1."
    )
    part = Part(second, timed, found, runs=(one,), how=how)
    title = f"{second} against {first} in {side.label}"
    made = Comparison(title, first, (one,), (part,), asked.command)
    if not any(not math.isnan(verdict.ratio) for _, verdict in timed) and not found:
        reason = f"{side.label} has no case with a figure of both {first} and {second}"
        return Compared(made, NOT_COMPARED, reason)
    return Compared(made, FINE)


def _part(before: Sequence[Run], base: Side, side: Side, asked: Asked) -> Part:
    after = [load(path) for path in side.paths]
    _refuse_unknown(asked.contenders, [*before, *after])
    # Contenders that were not asked for are not judged, but show what the machine did.
    times = [run.timed for run in before], [run.timed for run in after]
    keep = set(asked.contenders)
    before, after = ([_only(run, keep) for run in runs] for runs in (before, after))
    once_each([*times[0], *times[1]])
    found = exact.figures(before, after)
    qualities = exact.qualities(before, after)
    notices = [f"{run.path} was measured with uncommitted changes." for run in after if run.dirty]
    differ = differences([run.timed for run in (*before, *after)])
    barred = ""
    if differ:
        machine = [one for one in differ if not one.startswith(_VERSION)]
        versions_asked = {base.by, side.by} == {"torch"}
        said = "the machines differ" if machine else "the versions differ"
        notices.insert(0, f"{side.label}: {said}: {'; '.join(differ)}.")
        if asked.across or (versions_asked and not machine):
            what = "machines" if machine else "versions"
            notices.insert(1, "Times are compared all the same, as asked: a ratio reflects the "
                              f"{what} as well as the code.")  # fmt: skip
        else:
            barred = (f"{said}, so their times say nothing about the code; --across-machines "
                      "compares them anyway")  # fmt: skip
    neither = set.intersection(*(run.untimed for run in (*before, *after)))
    part = Part(side.label, (), found, qualities, after, notices, barred, not_run=len(neither))
    if barred:
        return part
    only = {name for run in (*before, *after) for name in run.timed.timings} - neither
    judged = compare(*times, asked.rule, only)
    keys = {name: key for run in (*before, *after) for name, key in run.keys.items()}
    timed = [(keys[v.name], _with_reason(v, before, after)) for v in judged.verdicts]
    moved = shift.sentence(judged.shift, base.label, side.label)
    how = _how(len(before), len(after), judged)
    return replace(part, timed=timed, how=how, shift=moved, log_shift=judged.shift.log_ratio)


def _refuse_unknown(asked: Sequence[str], runs: Sequence[Run]) -> None:
    there = sorted({key.contender for run in runs for key in (*run.keys.values(), *run.exact)})
    for name in asked:
        if name not in there:
            raise UnknownName("--contender", name, there)


def _how(base: int, candidate: int, judged: Found) -> str:
    differ = "differ here" if judged.process_sd == judged.shift.spread else "are assumed to differ"
    how = (
        f"{base} against {candidate} processes. Apart from the shift that all times share, two "
        f"processes of identical code {differ} by {judged.process_sd:.1%} (standard deviation of "
        "the log ratio), and more rounds do not average that out. The intervals include it. They "
        "allow for the machine having caused all of the shared shift or none of it, and hold "
        f"jointly at {LEVEL:.0%}."
    )
    if base + candidate == 2:
        how += (" Several runs a side, taken in turn, separate out the machine's part and narrow "
                 "the intervals.")  # fmt: skip
    return how


def _only(run: Run, keep: set[str]) -> Run:
    if not keep:
        return run
    timings = {n: t for n, t in run.timed.timings.items() if run.keys[n].contender in keep}
    return replace(
        run,
        timed=replace(run.timed, timings=timings),
        exact={key: one for key, one in run.exact.items() if key.contender in keep},
        trained={k: v for k, v in run.trained.items() if k[0].split(" ")[-1] in keep},
        not_run={n: r for n, r in run.not_run.items() if run.keys[n].contender in keep},
    )


def _with_reason(verdict: Verdict, before: Sequence[Run], after: Sequence[Run]) -> Verdict:
    """What was not run says why."""
    runs = {"VANISHED": after, "NEW": before}.get(verdict.state, ())
    reason = next((r.not_run[verdict.name] for r in runs if verdict.name in r.not_run), "")
    if not reason:
        return verdict
    return replace(verdict, reason=f"{verdict.reason}: not run: {reason}")


def exit_code(part: Part) -> int:
    """A regression outweighs what was not compared."""
    states: list[str] = [verdict.state for _, verdict in part.timed]
    others: list[str] = [one.state for one in part.differences]
    if "SLOWER" in states or any(state in exact.FAILS for state in others):
        return REGRESSION
    if any(one.state == "WORSE" for one in part.qualities):
        return REGRESSION
    open_ones = [s for s in states if s not in ("FASTER", "EQUIVALENT", "NEW")]
    open_ones += [s for s in others if s in exact.OPEN]
    open_ones += [q.state for q in part.qualities if q.state in ("INCONCLUSIVE", "VANISHED")]
    compared = [s for s in states if s != "NEW"] + [s for s in others if s != "NEW"]
    if part.barred or open_ones or not (compared or part.qualities):
        return NOT_COMPARED
    return FINE


def _gravity(code: int) -> int:
    return {FINE: 0, NOT_COMPARED: 1, REGRESSION: 2}[code]


def most(part: Part) -> list[tuple[str, str, str, str]]:
    """What changed most: verdict, figure, ratio and interval, as words."""
    rows = [
        (verdict.state.lower(), key.name, f"{verdict.ratio:.3f}",
         f"{verdict.low:.3f} to {verdict.high:.3f}")
        for key, verdict in page.changed_most(part.timed) if not math.isnan(verdict.ratio)
    ][:_MOST_LINES]  # fmt: skip
    rows += [
        (one.state.lower(), one.key.name, page.ratio_text(one.ratio), "exact")
        for one in sorted(part.differences, key=page.by_size)
        if one.state in (*exact.FAILS, "BETTER")
    ][:_MOST_LINES]
    return rows
