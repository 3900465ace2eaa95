"""What the seeds of an arm say together: means with intervals, and differences between arms.

Nothing here picks a seed: a figure is the mean over all that ran, or there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.instruments.metrics import METRICS
from benchmarks.records.loading import Training
from reports.quality.comparisons import Comparison, comparisons
from suites.interval import Interval
from suites.quality.intervals import interval, paired

from .. import units
from .reading import Group, device_of

MAIN = "map_at_r"
SEEN = "seen_"


def title(metric: str, arrow: bool = True) -> str:
    """A metric's name for people, with the way that is better."""
    known = METRICS.get(metric)
    text = (known.title if known else "") or metric.replace("_", " ")
    # Which way is better does not rank losses by their costs, see `notes.COSTS`.
    if not arrow or known is None or known.column == "cost":
        return text
    return text + known.arrow


def is_share(metric: str) -> bool:
    """Whether it lies between 0 and 1."""
    return metric in METRICS and METRICS[metric].share


def in_table(column: str) -> list[str]:
    """The metrics of one of the tables, in their order."""
    return [one.name for one in METRICS.values() if one.column == column]


def columns(found: Sequence[Group]) -> list[str]:
    """Metrics of both tables: those of new identities where there are any, else of seen ones."""
    return [*main_columns(found), *more_columns(found)]


def main_columns(found: Sequence[Group]) -> list[str]:
    """The metrics that losses are compared by: as many as fit on a page."""
    logged = _logged(found)
    main = in_table("main")
    wanted = (*main, SEEN + MAIN) if MAIN in logged else [SEEN + name for name in main]
    return [name for name in wanted if name in logged]


def more_columns(found: Sequence[Group]) -> list[str]:
    """Rates, angles and costs."""
    logged = _logged(found)
    more = in_table("more")
    wanted = more if MAIN in logged else [SEEN + name for name in more]
    return [name for name in (*wanted, *in_table("cost")) if name in logged]


def _logged(found: Sequence[Group]) -> set[str]:
    return {name for group in found for one in group.ran for name, value in one.metrics.items()
            if value is not None}  # fmt: skip


def main_metric(found: Sequence[Group]) -> str:
    """What arms are compared by: MAP@R on identities that were never trained on, and where a
    dataset has none, on other images of those that were."""
    logged = {name for group in found for one in group.ran for name in one.metrics}
    return SEEN + MAIN if MAIN not in logged and SEEN + MAIN in logged else MAIN


def by_seed(group: Group, metric: str) -> dict[int, float]:
    return {one.seed: value for one in group.ran
            if (value := one.metrics.get(metric)) is not None and math.isfinite(value)}  # fmt: skip


def over_seeds(values: Mapping[int, float]) -> Interval | None:
    return interval(list(values.values())) if values else None


def figure(metric: str, value: float | None) -> str:
    """One value, with as many digits as the metric is worth."""
    if value is None or not math.isfinite(value):
        return units.NOTHING
    unit = METRICS[metric].unit if metric in METRICS else "1"
    if unit == "bytes":
        return units.size(value)
    if unit in ("s", "1/s"):
        return units.digits3(value)
    return f"{value:.1f}" if unit == "deg" else f"{value:.3f}"


def estimate(metric: str, found: Interval | None) -> str:
    """'0.912 ± 0.011': the mean and the half-width of its 95% interval; of one seed, which gives
    no spread, the figure alone."""
    if found is None:
        return units.NOTHING
    text = figure(metric, found.estimate)
    return text if found.high is None else f"{text} ± {figure(metric, found.high - found.estimate)}"


def fixed(value: float) -> str:
    """Three decimals; what rounds to nothing has no sign."""
    return f"{value:.3f}" if abs(value) >= 0.0005 else "0.000"


def signed(value: float) -> str:
    """A difference, with its sign."""
    return f"{value:+.3f}" if abs(value) >= 0.0005 else "0.000"


def gained(group: Group, metric: str) -> Interval | None:
    """What training changed: the paired difference from the same networks before their first step;
    None where epoch 0 was not recorded."""
    before = untrained([group])
    after, start = by_seed(group, metric), by_seed(before, metric) if before else {}
    return paired(after, start).difference if after.keys() & start.keys() else None


def untrained(found: Sequence[Group]) -> Group | None:
    """The network before any step, which is the same for all arms that share its settings: epoch
    0 of the first arm that recorded it."""
    for group in found:
        before = [replace(one, metrics=one.epochs[0]) for one in group.ran
                  if one.epochs and one.epochs[0].get("epoch", 0) == 0]  # fmt: skip
        if before:
            return Group(group.label, tuple(before))
    return None


def compare(found: Sequence[Group], metric: str) -> list[Comparison]:
    """Every two arms that share a seed, as `reports.quality.comparisons` has them, by the labels of
    the table; arms of two devices or contenders are not held against each other."""
    compared: list[Comparison] = []
    for device in dict.fromkeys(device_of(one) for group in found for one in group.trainings):
        own = {(one.contender, one.arm): group.label for group in found
               for one in group.trainings if device_of(one) == device}  # fmt: skip
        trainings = [one for group in found for one in group.trainings if device_of(one) == device]
        studies = {one.study for one in trainings}
        compared += [
            replace(one, a=own[one.contender, one.a], b=own[one.contender, one.b])
            for one in comparisons(trainings, metric, studies)
        ]
    return compared


def ranked(found: Sequence[Group], metric: str) -> list[tuple[Group, Interval]]:
    """Arms that have the metric, the highest mean first; ties in the order of the table."""
    rows = [(group, one) for group in found if (one := over_seeds(by_seed(group, metric)))]
    return sorted(rows, key=lambda row: -row[1].estimate)


def p_text(value: float | None) -> str:
    if value is None:
        return units.NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plain(found: Interval | None) -> dict[str, Any] | None:
    """For JSON, to nine digits, which every machine's mean agrees on."""
    if found is None:
        return None
    bounds = {"low": rounded(found.low), "high": rounded(found.high)}
    return {"mean": rounded(found.estimate), **bounds, "seeds": found.count}


def rounded(value: float | None) -> float | None:
    """None too where it is not finite, which JSON can't hold."""
    return float(f"{value:.9g}") if value is not None and math.isfinite(value) else None


def state(trainings: Sequence[Training]) -> tuple[int, int, int]:
    """How many ran, diverged, and were not run."""
    statuses = [one.status for one in trainings]
    return statuses.count("ok"), statuses.count("worse"), statuses.count("not_run")
