"""The verdict on a case, and when to stop sampling. Pure arithmetic on log-ratios of groups.

A case goes through a **screen**, in one process, and if something is found there through a
**confirmation** in another, where the candidate is loaded first and the inputs are drawn anew.
A case is SLOWER or FASTER only if both find it; ratio and p-value then come from the confirmation
alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from suites.interval import Interval

from . import evidence
from .evidence import PILOT, Bet, spread
from .interval import ratio

Verdict = Literal["SLOWER", "FASTER", "EQUIVALENT", "INCONCLUSIVE", "WRONG", "NOT MEASURED"]
Stage = Literal["screen", "confirmation"]

# Log of the value that bets on a change must have fallen to before EQUIVALENT is called early. It
# is lower in a confirmation, which gives up less readily what the screen has found.
_DEAD = {"screen": -1.0, "confirmation": -3.0}


@dataclass(frozen=True)
class Rule:
    """The gate's settings; log-ratios of this size are close to fractions.

    ``smallest_effect``: within it, two versions count as equal. ``tolerated``: a ratio this near
    to 1 is never called slower; two copies of the same code differ by up to that much, depending
    on where they lie in memory. ``family_error``: the chance that a suite of unchanged cases gives
    any SLOWER, split over the cases by Holm; the same again for FASTER. ``screen_error``: the
    chance that an unchanged case is sent to a confirmation. ``equivalence_error``: the chance of
    calling a case EQUIVALENT that is not. ``stage_s``: seconds of timed work that a case may take
    in each of the two stages.
    """

    smallest_effect: float = 0.03
    tolerated: float = 0.005
    family_error: float = 0.001
    screen_error: float = 0.01
    equivalence_error: float = 0.002
    fewest_groups: int = 16
    stage_s: float = 14.0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerated < self.smallest_effect < 1:
            raise ValueError(
                "smallest_effect: expected a fraction above what is tolerated "
                f"({self.tolerated:g}) and below 1; got {self.smallest_effect:g}"
            )


@dataclass
class Sample:
    """The groups of one case in one stage, and the four bets on them, placed as they come."""

    rule: Rule
    stage: Stage
    tests: int
    groups: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        up, down = math.log1p(self.rule.smallest_effect), math.log1p(-self.rule.smallest_effect)
        tolerated = self.rule.tolerated
        self.slower, self.faster = Bet(tolerated, 1), Bet(-tolerated, -1)
        self.not_slower, self.not_faster = Bet(up, -1), Bet(down, 1)

    def add(self, log_ratio: float) -> None:
        if not math.isfinite(log_ratio):
            raise ValueError(f"log_ratio: expected a finite number; got {log_ratio}")
        if len(self.groups) >= PILOT:
            scale = spread(self.groups)
            for bet in (self.slower, self.faster, self.not_slower, self.not_faster):
                bet.place(log_ratio, scale)
        self.groups.append(log_ratio)

    @property
    def error(self) -> float:
        """The error of SLOWER (and of FASTER) for one case in this stage: in a confirmation
        Bonferroni's share of the family's, which is enough whatever the other cases show."""
        if self.stage == "screen":
            return self.rule.screen_error
        return self.confirming_error

    @property
    def confirming_error(self) -> float:
        """The error at which a confirmation shows a change."""
        return self.rule.family_error / self.tests

    @property
    def finding(self) -> Literal["SLOWER", "FASTER", "EQUIVALENT", ""]:
        """What can be said now. A case is never both slower and equivalent: slower comes first, and
        equivalence is not claimed while there is still evidence for a change."""
        enough = -math.log(self.error)
        if self.slower.log_best >= enough:
            return "SLOWER"
        if self.faster.log_best >= enough:
            return "FASTER"
        if not self.within:
            return ""
        alive = max(self.slower.log_value, self.faster.log_value) > _DEAD[self.stage]
        return "" if alive or len(self.groups) < self.rule.fewest_groups else "EQUIVALENT"

    @property
    def flagged(self) -> bool:
        """Whether a change was found: a screen's goes on to a confirmation."""
        return self.finding in ("SLOWER", "FASTER")

    @property
    def within(self) -> bool:
        """Whether the samples show equivalence, even if they also suggest a small change."""
        enough = -math.log(self.rule.equivalence_error)
        return min(self.not_slower.log_best, self.not_faster.log_best) >= enough

    @property
    def settled(self) -> bool:
        """Whether sampling can stop; ``fewest_groups`` makes the interval worth printing."""
        return bool(self.finding) and len(self.groups) >= self.rule.fewest_groups

    def ratio(self) -> Interval:
        return ratio(self.groups)

    def detectable(self, seconds: float) -> float:
        """The smallest slow-down (a fraction) that the rule finds in 95% of runs, at this case's
        spread and pace, within a stage's seconds; infinite if that gives too few groups."""
        groups = len(self.groups) * self.rule.stage_s / seconds if seconds else 0.0
        found = evidence.detectable(
            spread(self.groups), groups, self.confirming_error, self.rule.tolerated
        )
        return math.expm1(found) if math.isfinite(found) else math.inf


@dataclass(frozen=True)
class Judgement:
    """A case's verdict and its reason in a sentence; ``p_value`` is Holm's, of the confirmation."""

    verdict: Verdict
    reason: str
    ratio: Interval | None = None
    p_value: float | None = None


def judge(
    screens: Sequence[Sample], confirmations: Sequence[Sample | None], tests: int
) -> list[Judgement]:
    """All cases of a suite of ``tests`` cases, each with its screen and, where the screen found
    something, its confirmation."""
    flagged = [i for i, sample in enumerate(confirmations) if sample is not None]
    adjusted = {
        direction: dict(
            zip(flagged, evidence.holm([_p(confirmations[i], direction) for i in flagged], tests),
                strict=True)
        )
        for direction in ("SLOWER", "FASTER")
    }  # fmt: skip
    found = []
    for i, (screen, confirmation) in enumerate(zip(screens, confirmations, strict=True)):
        if confirmation is None:
            found.append(_unflagged(screen) if not screen.flagged else _unconfirmed(screen))
            continue
        p = {name: values[i] for name, values in adjusted.items()}
        found.append(_confirmed(screen, confirmation, p))
    return found


def _p(sample: Sample | None, direction: str) -> float:
    assert sample is not None
    return (sample.slower if direction == "SLOWER" else sample.faster).p_value


def _unflagged(sample: Sample) -> Judgement:
    if sample.finding == "EQUIVALENT" or sample.within:
        return Judgement("EQUIVALENT", _equivalent(sample), sample.ratio())
    return Judgement("INCONCLUSIVE", _inconclusive(sample), sample.ratio())


def _unconfirmed(sample: Sample) -> Judgement:
    """A change was found, but no second process measured it: no verdict either way."""
    reason = f"{sample.finding.lower()} at first, and no second process measured it again"
    return Judgement("NOT MEASURED", reason, sample.ratio())


def _confirmed(screen: Sample, sample: Sample, p: dict[str, float]) -> Judgement:
    direction = "SLOWER" if p["SLOWER"] <= p["FASTER"] else "FASTER"
    if p[direction] <= sample.rule.family_error and screen.finding == direction:
        reason = (
            f"{direction.lower()} by {_percent(sample)} on fresh samples in a second process, as "
            f"in the first (p = {p[direction]:.2g} after Holm, {len(sample.groups)} groups)"
        )
        return Judgement(direction, reason, sample.ratio(), p[direction])  # type: ignore[arg-type]
    if sample.within:
        reason = f"{screen.finding.lower()} at first, not confirmed: {_equivalent(sample)}"
        return Judgement("EQUIVALENT", reason, sample.ratio(), min(p.values()))
    reason = f"{screen.finding.lower()} at first, not confirmed: {_inconclusive(sample)}"
    return Judgement("INCONCLUSIVE", reason, sample.ratio(), min(p.values()))


def _equivalent(sample: Sample) -> str:
    effect, groups = sample.rule.smallest_effect, len(sample.groups)
    return f"within {effect:.1%} of the base: measured {_percent(sample)} ({groups} groups)"


def _inconclusive(sample: Sample) -> str:
    return (
        f"time ran out with neither a change nor equivalence within "
        f"{sample.rule.smallest_effect:.1%} shown: measured {_percent(sample)}, groups scatter by "
        f"{spread(sample.groups):.1%} ({len(sample.groups)} groups)"
    )


def _percent(sample: Sample) -> str:
    found = sample.ratio()
    text = f"{found.estimate - 1:+.2%}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low - 1:+.2%}, {found.high - 1:+.2%}]"
