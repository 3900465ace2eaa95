"""The tables' numbers: means over all seeds, every two losses paired and adjusted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from reports.quality import divisions, numbers
from reports.quality.comparisons import comparisons
from reports.quality.reading import groups
from suites.quality.intervals import holm
from suites.schema import TrainingResult


def result(
    arm: str, seed: int, value: float | None, status: str = "ok", study: str = "closed",
    dataset: str = "digits", device: str = "cpu",
) -> TrainingResult:  # fmt: skip
    name = f"{study}/{arm}/eager/{dataset}/{device}/s{seed}"
    return TrainingResult(
        name, arm.split("/")[0], "", "eager", dataset, seed, status,
        reason="" if status == "ok" else "diverged: at step 3", study=study, arm=arm,
        job={"device": device}, metrics={"map_at_r": value, "recall_at_1": value},
    )  # fmt: skip


def drawn(seed: int, arms: tuple[str, ...] = ("a/x", "b/y", "c/z")) -> list[TrainingResult]:
    values = np.random.default_rng(seed).normal(size=(len(arms), 5))
    return [result(arm, s, float(values[i, s] + i)) for i, arm in enumerate(arms) for s in range(5)]


def test_all_pairs_are_those_of_scipy_and_adjusted_over_the_family(seed: int):
    results = drawn(seed)
    found = comparisons(results)
    assert [(c.a, c.b) for c in found] == [("a/x", "b/y"), ("a/x", "c/z"), ("b/y", "c/z")]
    values = {
        arm: [r.metrics["map_at_r"] for r in results if r.arm == arm]
        for arm in ("a/x", "b/y", "c/z")
    }
    raw = [
        float(stats.ttest_rel(values[a], values[b]).pvalue)
        for a, b in itertools.combinations(values, 2)
    ]
    assert [c.p_value for c in found] == pytest.approx(raw)
    assert [c.adjusted for c in found] == pytest.approx(holm(raw))
    assert {c.family for c in found} == {3}
    for c in found:
        mean = np.mean(np.subtract(values[c.a], values[c.b]))
        assert c.difference.estimate == pytest.approx(mean)


def test_divisions_datasets_and_devices_are_families_of_their_own(seed: int):
    results = drawn(seed)
    others = [
        result(r.arm, r.seed, r.metrics["map_at_r"], **changes)
        for r in results
        for changes in ({"study": "open"}, {"dataset": "glyphs"}, {"device": "cuda"})
    ]
    alone = comparisons(results)
    together = comparisons([*results, *others])
    assert len(together) == 4 * len(alone)
    assert {c.adjusted for c in together} == {c.adjusted for c in alone}
    searched = [result("a/x/t00", 9, 1.0, study="search"), result("m4", 9, 1.0, study="claims/x")]
    assert comparisons([*results, *searched]) == alone


def test_a_difference_is_reported_only_where_it_is_found():
    near = [0.1, -0.1, 0.2, -0.2, 0.05]
    results = [result("a/x", s, 0.5 + near[s] / 100) for s in range(5)]
    results += [result("b/y", s, 0.7 - near[s] / 100) for s in range(5)]
    results += [result("c/z", s, 0.5 + near[-1 - s] / 90) for s in range(5)]
    by_pair = {(c.a, c.b): c for c in comparisons(results)}
    assert by_pair["a/x", "b/y"].higher == "b/y"
    assert by_pair["b/y", "c/z"].higher == "b/y"
    assert by_pair["a/x", "c/z"].higher is None


def test_one_seed_shows_no_difference_and_takes_no_place_in_the_family():
    results = [*(result("a/x", s, 0.1 * s) for s in range(3)), result("b/y", 1, 0.9)]
    results += [result("c/z", s, 0.2 * s + 0.3) for s in range(3)]
    by_pair = {(c.a, c.b): c for c in comparisons(results)}
    single = by_pair["a/x", "b/y"]
    assert (single.p_value, single.adjusted, single.higher) == (None, None, None)
    assert single.alone == 2
    assert by_pair["a/x", "c/z"].family == 1
    assert by_pair["a/x", "c/z"].adjusted == by_pair["a/x", "c/z"].p_value


def test_a_mean_is_over_all_seeds_and_what_failed_is_named():
    results = [result("a/x", s, v) for s, v in ((2, 0.2), (0, 0.9), (1, 0.4))]
    # What a diverging training last measured is no figure of it.
    results += [result("a/x", 3, 0.1, "worse"), result("b/y", 0, None, "not_run")]
    first, second = groups(results)
    mean = numbers.over_seeds(numbers.by_seed(first, "map_at_r"))
    assert mean is not None and mean.estimate == pytest.approx(0.5) and mean.count == 3
    assert mean.low is not None and mean.high is not None and mean.low < 0.5 < mean.high
    assert numbers.over_seeds(numbers.by_seed(first, "missing")) is None
    assert [one.seed for one in first.ran] == [0, 1, 2]
    assert divisions.outcome(first.trainings).text == "✗ 1 diverged: diverged: at step 3"
    assert numbers.over_seeds(numbers.by_seed(second, "map_at_r")) is None
    assert numbers.state(second.trainings) == (0, 0, 1)
    assert comparisons(results) == []
    results += [result("c/z", s, v) for s, v in ((2, 0.3), (3, 0.9))]
    (only,) = comparisons(results)
    assert (only.difference.count, only.alone) == (1, 3)


def test_of_a_training_recorded_twice_the_last_counts():
    results = [result("a/x", 0, None, "not_run"), result("a/x", 0, 0.4), result("a/x", 1, 0.6)]
    results += [result("b/y", seed, 0.1) for seed in (0, 1)]
    (only,) = comparisons(results)
    assert only.difference.estimate == pytest.approx(0.4) and only.alone == 0
