"""Figures that are no times: exact ones to the last bit, errors by their own bound, quality over
seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from benchmarks.instruments.metrics import METRICS
from suites.interval import Interval
from suites.quality.intervals import Paired, holm, paired

from .runs import Key, Run

State = Literal["SAME", "BETTER", "WORSE", "CHANGED", "WRONG", "INVALID", "VANISHED", "NEW"]
FAILS = ("WORSE", "WRONG")
OPEN = ("INVALID", "VANISHED")
ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """One exact figure: base and candidate; ``reason`` in words where the figures do not say it."""

    key: Key
    state: State
    base: float | None = None
    candidate: float | None = None
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        if self.base is None or self.candidate is None or self.base <= 0 or self.candidate <= 0:
            return None
        return self.candidate / self.base


@dataclass(frozen=True)
class Quality:
    """One metric of one arm of training, over the seeds that both have; ``p`` after Holm.
    ``VANISHED``: the base has it, and the candidate has no seed of it in common, or trained one
    without coming to a figure; ``reason`` says which."""

    arm: str
    metric: str
    state: Literal["SAME", "BETTER", "WORSE", "INCONCLUSIVE", "VANISHED"]
    base: float
    difference: Interval | None
    p: float | None
    reason: str = ""


def figures(base: Sequence[Run], candidate: Sequence[Run]) -> list[Difference]:
    """A state for every exact figure and every error of any run, in the order of the runs."""
    keys = dict.fromkeys(key for run in (*base, *candidate) for key in run.exact)
    return [_figure(key, base, candidate) for key in keys]


def _figure(key: Key, base: Sequence[Run], candidate: Sequence[Run]) -> Difference:
    sides = [[run.exact[key] for run in runs if key in run.exact] for runs in (base, candidate)]
    if not sides[0]:
        return Difference(key, "NEW", None, sides[1][0].value, "not in the base")
    if not sides[1]:
        reasons = [run.not_run.get(key.name) for run in candidate]
        why = next((reason for reason in reasons if reason), "not in the candidate")
        return Difference(key, "VANISHED", sides[0][0].value, None, why)
    before, after = sides[0][0], sides[1][0]
    if len({one.version for side in sides for one in side}) > 1:
        return Difference(key, "INVALID", before.value, after.value,
                          "the variant's definition changed between them")  # fmt: skip
    if after.status == "worse" and before.status != "worse":
        return Difference(key, "WRONG", before.value, after.value, after.reason)
    if after.value is None:
        return Difference(key, "INVALID", before.value, None, after.reason or "it has no value")
    if before.value is None:
        return Difference(key, "NEW", None, after.value, "the base has no value for it")
    for side, name in ((sides[0], "base"), (sides[1], "candidate")):
        if METRICS[key.metric].kind == "exact" and len({one.value for one in side}) > 1:
            return Difference(key, "INVALID", before.value, after.value,
                              f"runs of the {name} differ in an exact figure")  # fmt: skip
    return Difference(key, state(key, before.value, after.value), before.value, after.value)


def state(key: Key, before: float | None, after: float | None) -> State:
    """Which way an exact figure moved; an error within its bound is neither better nor worse."""
    if before == after:
        return "SAME"
    metric = METRICS[key.metric]
    # An error has its own bound (at most twice eager's), which its status reports: within it, it is
    # neither better nor worse.
    if before is None or after is None or metric.kind == "error" or metric.better == "neither":
        return "CHANGED"
    return "WORSE" if (after > before) == (metric.better == "lower") else "BETTER"


def qualities(base: Sequence[Run], candidate: Sequence[Run]) -> list[Quality]:
    """What training came to, paired by seed; Holm's correction over all that could be paired."""
    sides = [_seeds(runs) for runs in (base, candidate)]
    found, gone = [], []
    for arm, metric in sides[0]:
        a, b = sides[0][arm, metric], sides[1].get((arm, metric), {})
        if reason := _lost(arm, a, b, candidate):
            gone.append(Quality(arm, metric, "VANISHED", fmean(a.values()), None, None, reason))
        else:
            found.append((arm, metric, a, b, paired(b, a)))
    adjusted = iter(holm([pair.p_value for *_, pair in found if pair.p_value is not None]))
    return gone + [
        _quality(arm, metric, a, b, pair, None if pair.p_value is None else next(adjusted))
        for arm, metric, a, b, pair in found
    ]


def _lost(
    arm: str, a: Mapping[int, float], b: Mapping[int, float], candidate: Sequence[Run]
) -> str:
    """Why the candidate's figures can't be held against the base's; empty where they can. Fewer
    seeds are fewer, but a seed that came to nothing is not left out as if it had not been tried."""
    tried = {seed: why for run in candidate for seed, why in run.untrained.get(arm, {}).items()}
    for seed in sorted(a.keys() - b.keys()):
        if seed in tried:
            return f"seed {seed} in the candidate: {tried[seed]}"
    if not a.keys() & b.keys():
        return "not in the candidate" if not b else "no seed is in both"
    return ""


def _quality(
    arm: str,
    metric: str,
    a: Mapping[int, float],
    b: Mapping[int, float],
    pair: Paired,
    p: float | None,
) -> Quality:
    seeds = sorted(a.keys() & b.keys())
    middle = sum(a[seed] for seed in seeds) / len(seeds)
    if all(a[seed] == b[seed] for seed in seeds):
        return Quality(arm, metric, "SAME", middle, pair.difference, p)
    state: Literal["SAME", "BETTER", "WORSE", "INCONCLUSIVE"] = "INCONCLUSIVE"
    if p is not None and p <= ALPHA and METRICS[metric].better != "neither":
        better = (pair.difference.estimate > 0) == (METRICS[metric].better == "higher")
        state = "BETTER" if better else "WORSE"
    return Quality(arm, metric, state, middle, pair.difference, p)


def _seeds(runs: Sequence[Run]) -> dict[tuple[str, str], dict[int, float]]:
    found: dict[tuple[str, str], dict[int, float]] = {}
    for run in runs:
        for name, values in run.trained.items():
            found.setdefault(name, {}).update(values)
    return found
