"""Every two losses of a division against each other.

Reads finished trainings as plain data, without torch. A difference is over all seeds that both
have, never the best of them; what did not run or diverged has none.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from suites.interval import Interval
from suites.quality.intervals import CONFIDENCE, Paired, holm, paired
from suites.schema import TrainingResult

from ..rows import Rows

# Of the figures on test, the one that is compared: it looks at all images of an identity, not only
# the nearest, and changes less from seed to seed (Musgrave, Belongie, Lim 2020).
PRIMARY = "map_at_r"
STUDIES = ("closed", "open")


Group = tuple[str, str, str, str]


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


def _device(result: TrainingResult) -> str:
    return result.job.get("device", "cpu")


def _values(results: Rows[TrainingResult], metric: str) -> dict[int, float]:
    return {one.seed: value for one in results.where(status="ok")
            if (value := one.metrics.get(metric)) is not None}  # fmt: skip


def comparisons(
    results: Iterable[TrainingResult], metric: str = PRIMARY, studies: Collection[str] = STUDIES
) -> list[Comparison]:
    """Every two losses of a division, dataset, contender and device, paired by seed and tested by
    Student's paired test, Holm-adjusted over that family."""
    found: list[Comparison] = []
    chosen = Rows(results).where(study=tuple(studies))
    last = Rows({result.name: result for result in chosen}.values())  # of one name
    for group, own in last.by("study", "dataset", "contender", _device).items():
        values = {arm: _values(of, metric) for arm, of in own.by("arm").items()}
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
