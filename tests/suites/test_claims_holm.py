"""Claims that look in several places at once: what one place alone would show is not enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from synthetic_claims import SEEDS, run, yes

from suites.claims import catalogue
from suites.jobs import Job
from suites.quality.intervals import holm, paired

# Student's paired test gives p = 0.028 and an interval above zero, in every place alike.
GAINS = dict(zip(SEEDS, (0.3, 0.5, 0.9, 0.4), strict=True))


def narrower(job: Job) -> Mapping[str, Any]:
    width = math.exp(-GAINS[job.seed]) if job.arm.startswith("lambda") else 1.0
    return {**yes(job), "seen_intra_class_distance": width}


def gaining(job: Job) -> Mapping[str, Any]:
    won = GAINS[job.seed] / 10 if job.arm.startswith("a-softmax") else 0.0
    return {**yes(job), "map_at_r": 0.5 + won}


@pytest.mark.parametrize(
    "name, figures, places", [("center-spread", narrower, 4), ("mixed-against-angular", gaining, 3)]
)
def test_what_holm_s_correction_takes_back_is_inconclusive(
    name: str, figures, places: int, seed: int
):
    p_value = paired(GAINS, dict.fromkeys(SEEDS, 0.0)).p_value
    assert p_value is not None and p_value < 0.05 < holm([p_value] * places)[0]
    claim = catalogue.get(name)
    assert claim.judge(run(claim, yes, seed)).outcome == "reproduced"
    assert claim.judge(run(claim, figures, seed)).outcome == "inconclusive"
