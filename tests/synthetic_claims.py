"""Trainings of claims that were never trained: every metric that a claim reads, set by the arm."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from suites.claims.claim import Claim
from suites.quality.jobs import Job, TrainingResult

SEEDS = (0, 1, 2, 3)
Figures = Callable[[Job], Mapping[str, float | None]]


def trained(job: Job, figures: Mapping[str, Any], noise: random.Random) -> TrainingResult:
    """One finished training; ``figures`` may hold ``series`` and ``untrained``."""
    figures = dict(figures)
    series = figures.pop("series", {})
    untrained = figures.pop("untrained", {"seen_embedding_diameter": 1.0})
    shaken = {
        name: value if value is None else value * (1 + 0.002 * noise.uniform(-1, 1))
        for name, value in figures.items()
    }
    return TrainingResult(
        job.name, job.loss, "", job.contender, job.dataset, job.seed, "ok", study=job.study,
        arm=job.arm, job=job.plain(), epochs=[{"epoch": 0.0, **untrained}, shaken],
        metrics=shaken, series=series,
    )  # fmt: skip


def run(claim: Claim, figures: Figures, seed: int, form: str = "small") -> list[TrainingResult]:
    """The claim's trainings in a shuffled order, with a little noise on every metric."""
    noise = random.Random(seed)
    found = [trained(job, figures(job), noise) for job in claim.jobs(form, SEEDS, "cpu")]
    noise.shuffle(found)
    return found


def shares(filled: int) -> list[float]:
    return [1 / filled] * filled + [0.0] * (36 - filled)


PICTURES = {
    "seen_embedding_1": [0.0, 1.0, 2.0, 3.0],
    "seen_embedding_2": [1.0, 0.0, 3.0, 2.0],
    "seen_embedding_identity": [0.0, 0.0, 1.0, 1.0],
    "seen_distance_edges": [float(i) for i in range(41)],
    "seen_positive_distance_share": [1 / 40] * 40,
    "seen_negative_distance_share": [1 / 40] * 40,
    "seen_angle_edges": [float(-180 + 10 * i) for i in range(37)],
}
