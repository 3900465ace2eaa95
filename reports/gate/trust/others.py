"""What other tools' rules say of the same raw data.

The rules are written anew from the tools' own sources, of these versions:

- pytest-benchmark 5.3.1, ``--benchmark-compare-fail=mean:5%`` and ``min:5%``
  (``utils.PercentageRegressionCheck``): fails where the field is more than 5% above the base's.
- asv 0.6.6, ``asv compare`` (``commands/compare._is_result_better``, ``_stats.is_different``):
  worse where the medians differ by more than the factor 1.1, its default, *and* a Mann-Whitney test
  finds a difference at p < 0.002, by the normal approximation beyond 20 samples. Its fallback to
  intervals, where so few samples can't reach that p, is never needed here and left out.
- Mann and Whitney's test (1947) on all samples pooled, two-sided, p < 0.01, as many a script has
  it; "slower" where the candidate's median is the larger.

They are given the legs of a trial's screen, seconds a call, as two series. That flatters them: the
legs are interleaved by the gate, while their users time one version after the other. So they are
asked again with the base's legs of the unchanged trial before and the candidate's of this one: two
runs of one machine, one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ...rows import Rows
from .shares import Share
from .trials import Trial, Trust

Says = Callable[[np.ndarray, np.ndarray], bool]
OURS = "this gate"
INTERLEAVED, IN_TURN = "interleaved", "one run after the other"
_ASV_FACTOR, _ASV_P, _ASV_EXACT = 1.1, 0.002, 20
_POOLED_P = 0.01


@dataclass(frozen=True)
class Judged:
    """What a rule says of a case: of unchanged code ``slower`` is a false alarm, of slowed code
    whatever is not ``slower`` is a miss."""

    rule: str
    series: str
    load: str
    fraction: float
    slower: Share


@dataclass(frozen=True)
class Halves:
    """Of the base alone, its first half of legs against its second, by Mann and Whitney at
    p < 0.01: samples that a pooled test may call different although nothing has changed."""

    load: str
    different: Share


def threshold(field: Callable[[np.ndarray], float], most_percent: float) -> Says:
    """pytest-benchmark's rule on one field of both series."""

    def slower(base: np.ndarray, candidate: np.ndarray) -> bool:
        return bool(field(candidate) / field(base) * 100 - 100 > most_percent)

    return slower


def asv(base: np.ndarray, candidate: np.ndarray) -> bool:
    """asv's rule; ties count half, where asv counts them against a difference."""
    return bool(
        mann_whitney(base, candidate) < _ASV_P
        and np.median(base) < np.median(candidate) / _ASV_FACTOR
    )


def pooled(base: np.ndarray, candidate: np.ndarray) -> bool:
    return bool(
        mann_whitney(base, candidate) < _POOLED_P and np.median(candidate) > np.median(base)
    )


def mann_whitney(one: np.ndarray, other: np.ndarray) -> float:
    """Two-sided p-value: exact up to 20 samples, by the normal distribution beyond."""
    if max(one.size, other.size) <= _ASV_EXACT:
        return float(stats.mannwhitneyu(one, other, method="exact").pvalue)
    ranks = stats.rankdata(np.concatenate((one, other)))
    u = ranks[: one.size].sum() - one.size * (one.size + 1) / 2
    pairs, total = one.size * other.size, one.size + other.size
    z = abs(u - pairs / 2) / math.sqrt(pairs * (total + 1) / 12)
    return math.erfc(z / math.sqrt(2))


RULES: dict[str, Says] = {
    "pytest-benchmark, mean:5%": threshold(lambda values: float(np.mean(values)), 5),
    "pytest-benchmark, min:5%": threshold(lambda values: float(np.min(values)), 5),
    "asv compare, factor 1.1": asv,
    "Mann-Whitney on pooled samples": pooled,
}


def side_by_side(trust: Trust) -> Rows[Judged]:
    """By load and fraction (0 first), each rule on both kinds of series, and the gate itself."""
    found = []
    for load in trust.loads:
        for fraction in (0.0, *trust.fractions(load)):
            trials = trust.of(load, fraction)
            if not trials:
                continue
            verdicts = [v["verdict"] for trial in trials for v in trial.verdicts.values()]
            ours = Share(verdicts.count("SLOWER"), len(verdicts))
            found.append(Judged(OURS, INTERLEAVED, load, fraction, ours))
            for series, pairs in ((INTERLEAVED, _interleaved(trials, trust)),
                                  (IN_TURN, _in_turn(trials, trust, load))):  # fmt: skip
                found += [
                    Judged(name, series, load, fraction,
                           Share(sum(rule(*pair) for pair in pairs), len(pairs)))
                    for name, rule in RULES.items()
                ]  # fmt: skip
    return Rows(found)


def _series(trial: Trial, case: str) -> tuple[np.ndarray, np.ndarray] | None:
    legs = trial.legs.get((case, "screen"))
    return legs.per_call() if legs is not None and legs.groups else None


def _interleaved(trials: Rows[Trial], trust: Trust) -> list[tuple[np.ndarray, np.ndarray]]:
    found = [_series(trial, case) for trial in trials for case in trust.cases]
    return [pair for pair in found if pair is not None]


def _in_turn(trials: Rows[Trial], trust: Trust, load: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each trial's candidate with the base of the unchanged trial that ended last before it."""
    wanted = {trial.id for trial in trials}
    found, before = [], None
    for trial in trust.trials:
        if trial.load != load:
            continue
        if before is not None and trial.id in wanted:
            for case in trust.cases:
                base, candidate = _series(before, case), _series(trial, case)
                if base is not None and candidate is not None:
                    found.append((base[0], candidate[1]))
        if not trial.fraction:
            before = trial
    return found


def halves(trust: Trust) -> list[Halves]:
    found = []
    for load in trust.loads:
        series = [pair[0] for pair in _interleaved(trust.of(load, 0.0), trust)]
        cut = [np.array_split(values, 2) for values in series]
        hits = sum(mann_whitney(first, second) < _POOLED_P for first, second in cut)
        if cut:
            found.append(Halves(load, Share(hits, len(cut))))
    return found
