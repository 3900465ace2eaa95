"""Judges the claims from the records, each claim's failure its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.records.loading import Training
from suites.claims import catalogue
from suites.claims.claim import Claim, Outcome, Part, Plot, Verdict
from suites.datasets.catalogue import find

from ..document import Tone
from ..sections.context import slug, unique
from .reading import CLAIMS, Quality

TONES: dict[Outcome, Tone] = {
    "reproduced": "good",
    "not reproduced": "bad",
    "inconclusive": "quiet",
}


@dataclass(frozen=True)
class Judged:
    """``failed`` says where judging or plotting itself went wrong."""

    claim: Claim
    anchor: str
    trainings: tuple[Training, ...]
    verdict: Verdict
    plots: tuple[Plot, ...]
    failed: str = ""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those shown beside the whole: none where there is but one, which is the whole."""
        return self.verdict.parts if len(self.verdict.parts) > 1 else ()


def counted(outcomes: Sequence[Outcome]) -> str:
    """'1 reproduced, 2 not reproduced, 0 inconclusive'."""
    return ", ".join(f"{outcomes.count(word)} {word}" for word in TONES)


_NETWORKS = {"mlp": "MLP", "resnet": "small ResNet", "lenet++": "LeNet++"}


def _title(dataset: str) -> str:
    declared = find(dataset)
    return (declared and declared.title) or dataset


def scope(trainings: Iterable[Training]) -> str:
    """The data and networks that a verdict holds for: 'digits (MLP)'; empty without trainings."""
    found: dict[str, dict[str, None]] = {}
    for one in trainings:
        networks = found.setdefault(_title(one.dataset), {})
        backbone = str(one.job.get("settings", {}).get("backbone", ""))
        if backbone:
            networks[_NETWORKS.get(backbone, backbone)] = None
    return "; ".join(f"{data} ({', '.join(nets)})" if nets else data
                     for data, nets in found.items())  # fmt: skip


def known() -> list[Claim]:
    """All claims of the catalogue, in their order."""
    return catalogue.claims()


def judge(quality: Quality, claims: list[Claim] | None = None) -> list[Judged]:
    """Every claim, also those of which nothing was trained: they are inconclusive."""
    found = known() if claims is None else claims
    anchors = unique([slug("claim", claim.name) for claim in found])
    return [_judged(quality, claim, anchor)
            for claim, anchor in zip(found, anchors, strict=True)]  # fmt: skip


def _judged(quality: Quality, claim: Claim, anchor: str) -> Judged:
    trainings = tuple(quality.of_study(claim.study))
    if not trainings:
        reason = "no network of it was trained in this run"
        return Judged(claim, anchor, (), Verdict("inconclusive", reason), ())
    # Records may hold what the claim's code never expected: the page says so and goes on.
    try:
        verdict = claim.judge(trainings)
    except Exception as error:
        reason = f"it could not be judged: {type(error).__name__}: {error}"
        return Judged(claim, anchor, trainings, Verdict("inconclusive", reason), (), reason)
    try:
        return Judged(claim, anchor, trainings, verdict, tuple(claim.plots(trainings)))
    except Exception as error:
        reason = f"its figures could not be made: {type(error).__name__}: {error}"
        return Judged(claim, anchor, trainings, verdict, (), reason)


def unknown(quality: Quality, claims: list[Claim]) -> list[str]:
    """Claims that trainings name and the catalogue does not."""
    names = {claim.study for claim in claims}
    return [name for name in quality.claimed() if f"{CLAIMS}{name}" not in names]
