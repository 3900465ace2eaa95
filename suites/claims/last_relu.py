"""Claim 6: without the last layer's ReLU features use the whole space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from suites.jobs import Job, Term
from suites.quality.intervals import interval

from ..schema import TrainingResult
from . import conditions, judging
from .claim import Claim, Line, Plot, Verdict
from .judging import Arms, Unusable, estimate, with_interval
from .pictures import embeddings, plot

WITH, WITHOUT = "with ReLU", "without ReLU"
BINS = 36
FILLED = 0.001
# With a ReLU a quarter of the circle is the most: as much again must be won.
WON = 0.25
# The quarter circle's nine bins, and the one that begins at exactly 90 degrees.
ORTHANT = 10 / BINS


def jobs(form: str, seeds: Sequence[int], device: str = "cpu") -> list[Job]:
    dataset, settings = conditions.closed(form, dim=2)
    arms = {arm: replace(settings, last_relu=arm == WITH) for arm in (WITH, WITHOUT)}
    return conditions.jobs(
        CLAIM.study,
        [(arm, (Term("softmax"),), (dataset, of_arm), seeds) for arm, of_arm in arms.items()],
        device,
    )


def _covered(arms: Arms, arm: str) -> dict[int, float]:
    found = {}
    for training in arms.of(arm):
        shares = training.series.get("seen_angle_share", ())
        if len(shares) != BINS:
            raise Unusable(f"the arm {arm} has no angles at seed {training.seed}")
        found[training.seed] = sum(share >= FILLED for share in shares) / BINS
    return found


def _dead(arms: Arms) -> str:
    """A ReLU that only ever gives 0 leaves one direction and no accuracy: no failed training, but
    another thing than a quarter that is used."""
    seeds = [f"{training.seed}" for training in arms.of(WITH)
             if training.metrics.get("seen_embedding_norm_mean") == 0]  # fmt: skip
    if not seeds:
        return ""
    return (f" With the ReLU every feature is 0 at seed {', '.join(seeds)}: a dead one, counted "
            "as one direction, which widens these intervals.")  # fmt: skip


@judging.inconclusive
def judge(trainings: Sequence[TrainingResult]) -> Verdict:
    arms = Arms(trainings)
    before, after = _covered(arms, WITH), _covered(arms, WITHOUT)
    if max(before.values()) > ORTHANT:
        raise Unusable("features behind a ReLU lie outside the quarter that it leaves them")
    won, _ = judging.difference(after, before, "both arms")
    accuracy, _ = arms.difference(WITHOUT, WITH, "seen_classifier_accuracy")
    reason = (
        f"Features fill {with_interval(interval(list(before.values())), 2)} of the circle's "
        f"directions with the ReLU and {with_interval(interval(list(after.values())), 2)} "
        f"without; accuracy changes by {with_interval(accuracy)}.{_dead(arms)}"
    )
    estimates = (
        estimate("share of the directions, without - with ReLU", won),
        estimate("accuracy, without - with ReLU", accuracy),
    )
    return Verdict(judging.larger(won, WON), reason, estimates)


def plots(trainings: Sequence[TrainingResult]) -> list[Plot]:
    arms = Arms(trainings)
    lines = []
    for arm in (WITH, WITHOUT):
        training = arms.first(arm)
        edges = tuple(training.series.get("seen_angle_edges", ())) if training else ()
        shares = tuple(training.series.get("seen_angle_share", ())) if training else ()
        if shares and len(edges) == len(shares) + 1:
            lines.append(Line(arm, edges, shares))
    features = embeddings(arms, [WITH, WITHOUT], "relu-features", "2-D features of seen identities")
    return features + plot(
        "relu-angles", "Directions of the features", "steps",
        ("angle in degrees", "share of the images"), {"": tuple(lines)},
        "Histograms of the features' angles with and without the last ReLU.",
        "One network each (the lowest seed), bins of 10 degrees.",
    )  # fmt: skip


CLAIM = Claim(
    number=6,
    name="last-relu",
    title="Dropping the last ReLU enlarges the feature space",
    statement="A ReLU on the layer of the features confines them to the non-negative orthant; "
    "without it they spread over the whole space.",
    source="Liu, Wen, Yu, Li, Raj, Song 2017 (SphereFace), appendix A",
    criterion="2-D features by softmax, all identities trained, images not trained on. A bin of "
    "10 degrees is covered if it holds at least 0.1% of the images. Reproduced: without the ReLU "
    "the share of the 36 bins covered is larger by at least 0.25 (the ReLU leaves a quarter of "
    "the circle, so at least as much again), its paired 95% interval above zero. Not reproduced: "
    "the interval lies below 0.25. Otherwise inconclusive, also if features behind the ReLU lie "
    "outside the quarter. The difference in accuracy, for which the paper promises nothing, is "
    "reported beside it.",
    jobs=jobs,
    judge=judge,
    plots=plots,
)
