"""How often unchanged code is called slower: in live trials, and in trials replayed from them.

**Replayed.** A whole-suite verdict takes its screen from the process of one trial, all cases of it,
and its confirmations from another trial's, each with the stored groups in random order, and puts
them through the gate's own rule with its budget of seconds at the process's own pace. What differs
between processes (where two copies of one code lie in memory, how busy the machine was) thus stays
together; what joins one group to the next does not, and `spreads` says how much that is.

No group is drawn twice as long as there are others: drawn with replacement, the chance mean of some
twenty groups would be taken for a lasting difference of that process, and the rule would rightly
find it. A sample that outlasts its process's groups goes on with groups drawn from them again,
about the best guess of what lasts there: the mean of all processes plus that share of the
process's own departure which is not explained by scatter (`Spread.lasting`).

The same again with base and candidate of each group swapped by a coin. Then nothing lasting is
left, the hypothesis holds exactly, and what remains is the rule's own error on these tails.

Replayed verdicts share their raw groups, so they are not independent; their bound says how well
the replay is known, not how well the machine is. `spreads` says how much lasts.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from benchmarks.gate.decision import Sample

from . import replay
from .shares import Share
from .spreads import Spread, spread
from .trials import Legs, Trust

SEED = 20_260


@dataclass(frozen=True)
class Alarms:
    """Whole-suite verdicts of unchanged code: the shares with a false alarm (any case SLOWER or
    WRONG: either fails a build), any case FASTER, any INCONCLUSIVE or NOT MEASURED, and any case
    sent from the screen to a confirmation. The first two leave out a suite in which a case was NOT
    MEASURED, unless it has such a case all the same. ``cases``: verdicts of cases."""

    slower: Share
    faster: Share
    inconclusive: Share
    flagged: Share
    cases: dict[str, int]


@dataclass(frozen=True)
class FalseAlarms:
    """By load; ``replayed`` keeps each process's own effect, ``swapped`` does not."""

    live: dict[str, Alarms]
    replayed: dict[str, Alarms]
    swapped: dict[str, Alarms]
    spreads: tuple[Spread, ...]


def false_alarms(trust: Trust, replays: int = 3000) -> FalseAlarms:
    """``replays`` whole-suite verdicts in all, as many of each load, in both ways of replaying."""
    loads = [load for load in trust.loads if trust.of(load, 0.0)]
    each = math.ceil(replays / len(loads)) if loads else 0
    able = [load for load in loads if len(_whole(trust, load)) >= 2]
    return FalseAlarms(
        {load: live(trust, load) for load in loads},
        {load: replayed(trust, load, each, swapped=False) for load in able},
        {load: replayed(trust, load, each, swapped=True) for load in able},
        tuple(spread(trust, case, load, 0.0) for load in loads for case in trust.cases),
    )


def total(found: dict[str, Alarms]) -> Share:
    """False alarms, over all loads."""
    return sum((one.slower for one in found.values()), Share(0, 0))


def live(trust: Trust, load: str) -> Alarms:
    suites = []
    for trial in trust.of(load, 0.0):
        confirmed = any(stage == "confirmation" for _, stage in trial.legs)
        suites.append(([str(v["verdict"]) for v in trial.verdicts.values()], confirmed))
    return _counted(suites)


def _counted(suites: list[tuple[list[str], bool]]) -> Alarms:
    def share(*any_of: str, whole: bool = True) -> Share:
        found = [not set(any_of).isdisjoint(words) for words, _ in suites]
        known = [hit or not whole or "NOT MEASURED" not in words
                for hit, (words, _) in zip(found, suites, strict=True)]  # fmt: skip
        return Share(sum(found), sum(known))

    cases = Counter(word for words, _ in suites for word in words)
    return Alarms(
        share("SLOWER", "WRONG"), share("FASTER"),
        share("INCONCLUSIVE", "NOT MEASURED", whole=False),
        Share(sum(confirmed for _, confirmed in suites), len(suites)), dict(sorted(cases.items())),
    )  # fmt: skip


def _whole(trust: Trust, load: str) -> list[dict[str, Legs]]:
    """The screens of unchanged trials that have one of every case."""
    found = []
    for trial in trust.of(load, 0.0):
        stored = {case: trial.legs.get((case, "screen")) for case in trust.cases}
        screens = {case: legs for case, legs in stored.items() if legs is not None and legs.groups}
        if len(screens) == len(trust.cases):
            found.append(screens)
    return found


def replayed(trust: Trust, load: str, count: int, *, swapped: bool) -> Alarms:
    """``count`` whole-suite verdicts, from two trials each."""
    trials = _whole(trust, load)
    random = np.random.default_rng((SEED, load == "loaded", swapped))
    spreads = {case: spread(trust, case, load, 0.0) for case in trust.cases}
    suites = []
    for _ in range(count):
        first, second = random.choice(len(trials), size=2, replace=False)

        def sample(stage, case: str, trial: int) -> Sample:
            legs = trials[trial][case]
            lasting = spreads[case].lasting(legs.log_ratios)
            values = replay.stream(random, legs, lasting, swapped)
            return replay.to_the_stop(trust.rule, stage, len(trust.cases), values, legs.pace)

        screens = {case: sample("screen", case, first) for case in trust.cases}
        again = {case: sample("confirmation", case, second)
                 for case, screen in screens.items() if screen.flagged}  # fmt: skip
        words = replay.verdicts(screens, again, len(trust.cases))
        suites.append(([str(word) for word in words.values()], bool(again)))
    return _counted(suites)
