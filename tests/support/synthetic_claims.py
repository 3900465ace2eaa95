"""Trainings of claims that were never trained: every metric that a claim reads, set by the arm."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from suites.claims.claim import Claim
from suites.claims.margins import promised
from suites.jobs import Job
from suites.schema import TrainingResult

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


def m_of(job: Job) -> int:
    options = dict(job.terms[0].options)
    return int(options["m"]) if "m" in options else 1  # type: ignore[arg-type]


def yes(job: Job) -> Mapping[str, Any]:
    """Figures that a claim which is true would give."""
    name, arm = job.study.removeprefix("claims/"), job.arm
    made: dict[str, Any] = {"series": {**PICTURES, "seen_angle_share": shares(30)}}
    if name == "center-spread":
        pull = arm.removeprefix("lenet++ ").startswith("lambda")
        made |= {"seen_intra_class_distance": 0.5 if pull else 1.0}
        made |= {"seen_inter_class_distance": 4.0, "seen_classifier_accuracy": 0.9}
    if name == "contrastive-margin":
        made |= {"seen_negative_distance_p5": 1.05 * float(arm.removeprefix("m="))}
        made |= {"seen_positive_distance_mean": 0.1}
    if name == "triplet-mining":
        hardest = arm.startswith("batch-hard")
        made |= {"seen_embedding_diameter": 0.001 if hardest else 1.2}
        made |= {"seen_recall_at_1": 0.95, "seen_map_at_r": 0.9}
    if name in ("a-softmax-margin", "full-margin"):
        m = m_of(job)
        reached = name == "a-softmax-margin" or arm not in ("m=4 floor 5", "m=4 constant 5")
        made |= {"seen_angular_margin_ratio": 0.01 + (promised(m) if reached else 0.2)}
        made |= {"map_at_r": 0.5 + 0.02 * m, "seen_classifier_accuracy": 0.9}
        made |= {"seen_norm_free_accuracy": 0.9}
    if name == "mixed-against-angular":
        wins = arm.startswith("a-softmax")
        made |= {"map_at_r": 0.6 if wins else 0.5, "verification_accuracy": 0.9 if wins else 0.8}
    if name == "last-relu":
        made["series"]["seen_angle_share"] = shares(9 if job.settings.last_relu else 30)
        made |= {"seen_classifier_accuracy": 0.9}
    return made


def no(job: Job) -> Mapping[str, Any]:
    """The opposite, or no difference at all."""
    made = dict(yes(job))
    made |= {name: 0.5 for name, v in made.items() if isinstance(v, float)}
    made["seen_embedding_diameter"] = 1.0
    made["seen_negative_distance_p5"] = 0.01
    made["series"] = {**PICTURES, "seen_angle_share": shares(9)}
    return made


def unsure(job: Job) -> Mapping[str, Any]:
    """What one seed says the next denies: intervals that hold both nothing and what matters."""
    if job.study.endswith("triplet-mining"):  # 3 of 12 might be chance, and might be a rate
        return yes(job) if job.seed in (1, 2, 3) else no(job)
    return yes(job) if job.seed % 2 else no(job)
