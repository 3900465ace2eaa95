"""A job as plain data, and what several seeds say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from suites.jobs import Anneal, Job, Settings, Term
from suites.quality.intervals import holm, interval, paired

FALLING = Anneal(1_000, 0.12, 1, 5, 28_000)
JOB = Job(
    "claims/x", "m4", (Term("a-softmax", options=(("annealing", FALLING), ("m", 4))),
    Term("center", weight=0.5, since=0.25)), "digits", 3, Settings(2, decay_at=(0.5, 0.75)),
)  # fmt: skip


def test_a_job_comes_back_from_json_as_it_went():
    assert Job.from_plain(json.loads(json.dumps(JOB.plain(), allow_nan=False))) == JOB
    assert JOB.name == "claims/x/m4/eager/digits/cpu/s3"
    assert JOB.loss == "a-softmax+center"


def test_annealing_falls_to_its_floor_as_in_the_released_solver():
    assert FALLING(0) == 1_000
    assert FALLING(1_000 / 28_000) == pytest.approx(1_000 / 121)
    assert FALLING(1_657 / 28_000) > 5 == FALLING(1_659 / 28_000)


def test_intervals_and_p_values_are_those_of_scipy(seed: int):
    drawn = np.random.default_rng(seed).normal(size=(2, 5))
    a, b = (dict(enumerate(row.tolist())) for row in drawn)
    found = interval(list(a.values()))
    low, high = stats.t.interval(0.95, 4, drawn[0].mean(), stats.sem(drawn[0]))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert paired(a, b).p_value == pytest.approx(stats.ttest_rel(*drawn).pvalue)
    assert interval([2.0]).low is None
    assert paired({1: 2.0}, {1: 1.0, 2: 5.0}).difference.estimate == 1.0
    with pytest.raises(ValueError, match="a seed in both"):
        paired({1: 2.0}, {2: 1.0})


def test_holm_adjusts_by_rank_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
