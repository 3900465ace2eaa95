"""What the divisions say: means with intervals, and every two losses against each other.

Reads finished trainings as plain data, without torch. A mean is over all seeds that ran, never the
best of them; what did not run or diverged is counted and named.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from suites.interval import Interval
from suites.quality.intervals import CONFIDENCE, Paired, holm, interval, paired
from suites.schema import TrainingResult

# Of the figures on test, the one that is compared: it looks at all images of an identity, not only
# the nearest, and changes less from seed to seed (Musgrave, Belongie, Lim 2020).
PRIMARY = "map_at_r"
STUDIES = ("closed", "open")


Group = tuple[str, str, str, str]


@dataclass(frozen=True)
class Failed:
    """A training without figures: it diverged (``worse``) or was not run, and why."""

    seed: int
    status: str
    reason: str


@dataclass(frozen=True)
class Row:
    """A loss on a dataset in a division: ``values`` by metric, None where no seed has it;
    ``seeds`` are those that ran, ``jobs`` the names of their trainings."""

    study: str
    dataset: str
    contender: str
    device: str
    loss: str
    arm: str
    seeds: tuple[int, ...]
    failed: tuple[Failed, ...]
    jobs: tuple[str, ...]
    values: Mapping[str, Interval | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """``a`` minus ``b`` over the seeds that both have, from equal starts and equal batches where
    their samplers agree. ``adjusted`` is Holm's p-value over the ``family``, all pairs of losses
    of the division, dataset, contender, device and metric; None with fewer than two common seeds.
    ``alone`` counts the seeds that only one of the two has: a loss that diverges from some seeds
    is compared on the others only."""

    study: str
    dataset: str
    contender: str
    device: str
    metric: str
    a: str
    b: str
    difference: Interval
    p_value: float | None
    adjusted: float | None
    family: int
    alone: int

    @property
    def significant(self) -> bool:
        """Whether the adjusted p-value is below 5%."""
        return self.adjusted is not None and self.adjusted < 1 - CONFIDENCE

    @property
    def higher(self) -> str | None:
        """The arm with the higher mean, where the difference is significant."""
        if not self.significant:
            return None
        return self.a if self.difference.estimate > 0 else self.b


def _grouped(
    results: Iterable[TrainingResult], studies: Collection[str]
) -> dict[Group, dict[str, list[TrainingResult]]]:
    """By division, dataset, contender and device, then by arm; of one name the last counts."""
    last = {result.name: result for result in results if result.study in studies}
    groups: dict[Group, dict[str, list[TrainingResult]]] = defaultdict(lambda: defaultdict(list))
    for result in last.values():
        device = result.job.get("device", "cpu")
        group = (result.study, result.dataset, result.contender, device)
        groups[group][result.arm].append(result)
    return groups


def _values(results: Iterable[TrainingResult], metric: str) -> dict[int, float]:
    found: dict[int, float] = {}
    for result in results:
        value = result.metrics.get(metric)
        if result.status == "ok" and value is not None:
            found[result.seed] = value
    return found


def table(
    results: Iterable[TrainingResult],
    metrics: Iterable[str] = (PRIMARY,),
    studies: Collection[str] = STUDIES,
) -> list[Row]:
    """A row for each loss on a dataset in a division, in the order the results came."""
    metrics = list(metrics)
    rows = []
    for group, arms in _grouped(results, studies).items():
        for arm, of in arms.items():
            of = sorted(of, key=lambda result: result.seed)
            ran = [result for result in of if result.status == "ok"]
            values = {metric: list(_values(ran, metric).values()) for metric in metrics}
            rows.append(
                Row(
                    *group, of[0].loss, arm,
                    seeds=tuple(result.seed for result in ran),
                    failed=tuple(
                        Failed(result.seed, result.status, result.reason)
                        for result in of
                        if result.status != "ok"
                    ),
                    jobs=tuple(result.name for result in ran),
                    values={m: interval(v) if v else None for m, v in values.items()},
                )
            )  # fmt: skip
    return rows


def comparisons(
    results: Iterable[TrainingResult], metric: str = PRIMARY, studies: Collection[str] = STUDIES
) -> list[Comparison]:
    """Every two losses of a division, dataset, contender and device, paired by seed and tested by
    Student's paired test, Holm-adjusted over that family."""
    found: list[Comparison] = []
    for group, arms in _grouped(results, studies).items():
        values = {arm: _values(of, metric) for arm, of in arms.items()}
        pairs = {
            (a, b): paired(values[a], values[b])
            for a, b in itertools.combinations(sorted(values), 2)
            if values[a].keys() & values[b].keys()
        }
        found += _family(group, metric, values, pairs)
    return found


def _family(
    group: Group,
    metric: str,
    values: Mapping[str, Mapping[int, float]],
    pairs: Mapping[tuple[str, str], Paired],
) -> list[Comparison]:
    family = [
        Comparison(
            *group, metric, a, b, test.difference, test.p_value, None, 0,
            alone=len(values[a].keys() ^ values[b].keys()),
        )
        for (a, b), test in pairs.items()
    ]  # fmt: skip
    tested = [one.p_value for one in family if one.p_value is not None]
    adjusted = iter(holm(tested))
    return [
        replace(one, family=len(tested), adjusted=None if one.p_value is None else next(adjusted))
        for one in family
    ]
