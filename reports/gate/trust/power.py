"""How often a slow-down that was really put in is found, and how soon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.gate.interval import middle

from ...rows import Rows
from .replay import legs_of
from .shares import Share
from .trials import Trial, Trust

# The targets' seconds of timed work a case.
WITHIN_S = 30.0
ALL = "all cases"
_RESAMPLES = 400
_FEWEST = 5


@dataclass(frozen=True)
class Power:
    """Of one case (or of all) under one load with one fraction put in. ``found``: SLOWER, within
    30 s of timed work; ``seconds``: median and 95th percentile of timed work, found or not;
    ``realised``: estimate and 95% interval of the ratio over all trials' groups (nan for all cases
    together, and the interval where there are too few trials)."""

    case: str
    load: str
    fraction: float
    found: Share
    seconds: tuple[float, float]
    realised: tuple[float, float, float] = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Detectable:
    """The smallest slow-down (a fraction) that a run finds 95 times of 100, as the gate prints it:
    the median over the unchanged trials of this load and its 95th percentile; infinite where the
    gate says that no slow-down can be promised."""

    case: str
    load: str
    verdicts: int
    median: float
    high: float


def power(trust: Trust) -> Rows[Power]:
    """Each load and fraction: all cases first, then one by one."""
    found = []
    for load in trust.loads:
        for fraction in trust.fractions(load):
            trials = trust.of(load, fraction)
            rows = [_row(trials, (case,), case, load, fraction) for case in trust.cases]
            found += [_row(trials, trust.cases, ALL, load, fraction), *rows]
    return Rows(found)


def _row(
    trials: Rows[Trial], cases: tuple[str, ...], name: str, load: str, fraction: float
) -> Power:
    verdicts = [trial.verdicts[case] for trial in trials for case in cases]
    hits = sum(v["verdict"] == "SLOWER" and v["seconds"] <= WITHIN_S for v in verdicts)
    middle, late = np.quantile([v["seconds"] for v in verdicts], (0.5, 0.95))
    share = Share(hits, len(verdicts))
    if len(cases) > 1:
        return Power(name, load, fraction, share, (float(middle), float(late)))
    return Power(name, load, fraction, share, (float(middle), float(late)),
                 realised([log_ratios(trial, name) for trial in trials]))  # fmt: skip


def log_ratios(trial: Trial, case: str) -> np.ndarray:
    """All groups of a case in a trial, of both stages."""
    stored = [legs.log_ratios for legs in legs_of(trial, case)]
    return np.concatenate(stored) if stored else np.empty(0)


def realised(parts: list[np.ndarray]) -> tuple[float, float, float]:
    """Estimate and interval of the ratio, from the log-ratios of each trial. Each group counts the
    same: trials stop early when they look clear, and a mean over trials would be biased by that.
    For the interval trials are resampled: the gate's own would take the groups of one trial for
    independent."""
    parts = [part for part in parts if part.size]
    estimate = math.exp(middle(np.concatenate(parts))) if parts else math.nan
    if len(parts) < _FEWEST:
        return estimate, math.nan, math.nan
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = random.integers(len(parts), size=len(parts))
        drawn.append(middle(np.concatenate([parts[i] for i in chosen])))
    low, high = np.exp(np.quantile(drawn, (0.025, 0.975)))
    return estimate, float(low), float(high)


def detectable(trust: Trust) -> list[Detectable]:
    found = []
    for load in trust.loads:
        trials = trust.of(load, 0.0)
        for case in trust.cases:
            said = [t.verdicts[case].get("detectable") for t in trials]
            values = np.sort([math.inf if v is None else float(v) for v in said])
            if values.size:
                # Order statistics: no arithmetic between a figure and infinity.
                at = [values[min(values.size - 1, math.ceil(q * values.size) - 1)]
                      for q in (0.5, 0.95)]  # fmt: skip
                found.append(Detectable(case, load, values.size, float(at[0]), float(at[1])))
    return found
