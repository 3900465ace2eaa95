"""Claim 2: the contrastive loss pushes different identities out to its margin."""

from __future__ import annotations

from collections.abc import Sequence

from suites.jobs import Job, Term
from suites.quality.intervals import interval

from ..schema import TrainingResult
from . import conditions, judging
from .claim import Claim, Line, Outcome, Plot, Verdict
from .judging import Arms, estimate, with_interval
from .pictures import distances, plot

MARGINS = (0.5, 1.0, 2.0, 4.0)
# The push on a pair is m - D: it fades as the margin is neared, so that pairs settle a little
# inside; a tenth of m is where it has fallen to a tenth of its largest.
REACHED = 0.9


def arm_of(margin: float) -> str:
    return f"m={margin:g}"


def jobs(form: str, seeds: Sequence[int], device: str = "cpu") -> list[Job]:
    under = conditions.closed(form, dim=16)
    terms = {m: (Term("contrastive", "all-pairs", options=(("margin", m),)),) for m in MARGINS}
    arms = [(arm_of(margin), of, under, seeds) for margin, of in terms.items()]
    return conditions.jobs(CLAIM.study, arms, device)


@judging.inconclusive
def judge(trainings: Sequence[TrainingResult]) -> Verdict:
    arms = Arms(trainings)
    outcomes: list[Outcome] = []
    reasons, estimates = [], []
    for margin in MARGINS:
        apart = arms.values(arm_of(margin), "seen_negative_distance_p5")
        found = interval([value / margin for value in apart.values()])
        low, high = judging.bounds(found)
        if low >= REACHED:
            outcomes.append("reproduced")
        else:
            outcomes.append("not reproduced" if high < REACHED else "inconclusive")
        reasons.append(f"{with_interval(found)} at m = {margin:g}")
        estimates.append(
            estimate(f"5% quantile of negative distances / m at m = {margin:g}", found)
        )
    reason = "95% of the pairs of different identities are at least this part of m apart: "
    return Verdict(judging.all_of(outcomes), reason + ", ".join(reasons) + ".", tuple(estimates))


def plots(trainings: Sequence[TrainingResult]) -> list[Plot]:
    arms = Arms(trainings)
    names, ends = [arm_of(margin) for margin in MARGINS], (MARGINS[0], MARGINS[-1])
    points = list(zip(MARGINS, names, strict=True))
    lines: tuple[Line, ...] = ()
    for metric, label in (
        ("seen_negative_distance_p5", "5% quantile, different identities"),
        ("seen_positive_distance_mean", "mean, same identity"),
    ):
        lines += arms.lines(metric, {label: points})
    if lines:
        lines += (Line("m itself", ends, ends),)
    return plot(
        "contrastive-distances", "Distances over the margin", "lines",
        ("margin m", "Euclidean distance"), {"": lines},
        "Distances of pairs of same and of different identities over the margin m, with "
        "the line where the distance equals m.",
        logarithmic="xy",
    ) + distances(arms, names, "contrastive-histograms", "Distances of pairs")  # fmt: skip


CLAIM = Claim(
    number=2,
    name="contrastive-margin",
    title="Different identities end at least about the margin apart",
    statement="A pair of different identities is pushed away only while it is nearer than the "
    "margin m, so that after training such pairs lie outside a radius of about m.",
    source="Hadsell, Chopra, LeCun 2006, section 2 (equation 4 and the spring analogy)",
    criterion="All pairs of a batch, m = 0.5, 1, 2 and 4, 16 dimensions, embeddings at their own "
    "length, pairs of images that were not trained on, identities that were. Reproduced: for each "
    "m, 95% of the pairs of different identities are at least 0.9 m apart (the 5% quantile over m, "
    "its 95% interval over seeds at or above 0.9; at 0.9 the push has faded to a tenth, so 'about "
    "m' can't mean closer; the nearest 5% are left to images that the network gets wrong). Not "
    "reproduced: for some m the interval lies below 0.9. Otherwise inconclusive.",
    jobs=jobs,
    judge=judge,
    plots=plots,
)
