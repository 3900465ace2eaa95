"""The answer in one screen: the best embeddings of each table, and the verdicts of the claims."""

from __future__ import annotations

from dataclasses import dataclass

from suites.interval import Interval

from .. import units
from ..document import Block, Cell, Section, Text, table
from ..sections.place import Place
from . import divisions, numbers
from .judging import TONES, Context, Judged, counted, scope
from .reading import Group, Quality, groups

TITLE = "The answer"


def section(context: Context) -> Section:
    quality, judged = context.quality, context.judged
    blocks: list[Block] = []
    rows = [row for key in quality.tables() if (row := _row(quality, *key))]
    if rows:
        columns = ("dataset", "division", "highest after training", "MAP@R", "untrained network",
                   "gained by training", "significantly different from")  # fmt: skip
        blocks += [Text(_READ, "note"), table(columns, rows, "Which loss gave the best embeddings",
                                              numeric=columns[3:6])]  # fmt: skip
    tried = [one for one in judged if one.trainings]
    if not rows and not tried:
        blocks.append(Text("No loss has completed its training in the closed or the open "
                           "division, so there is nothing to compare yet."))  # fmt: skip
    verdicts = [row for one in tried for row in _verdicts(one)]
    if verdicts:
        caption = "The papers' claims and their verdicts"
        made = table(("", "verdict", "claim", "why", "tried on"), verdicts, caption)
        blocks += [made, Text(SCOPE, "note")]
    left = ", ".join(str(one.claim.number) for one in judged if one not in tried)
    if left:
        blocks.append(Text(f"Claims that this run did not try: {left}.", "note"))
    return Section("answer", TITLE, blocks)


SCOPE = (
    "A verdict holds for the data and the networks that it was tried on, and for no others: the "
    "outcome on faces may differ from that on digits, clothes or characters."
)
_READ = (
    "Mean average precision at R on identities never trained on, as mean ± half of its 95% "
    "interval over seeds; where a dataset holds out no identities, on other images of the trained "
    "ones. A loss differs significantly from another where their paired difference over equal "
    "seeds is significant after Holm's correction over all pairs of its table. The highest mean "
    "alone proves nothing. What training gained is the paired difference from the same networks "
    "before their first step. All intervals are over seeds alone: other identities would add "
    "variation, and another recipe might rank the losses differently."
)


@dataclass(frozen=True)
class Best:
    """The arm with the highest mean: ``apart`` and ``others`` are the labels that it can and can't
    be shown to differ from; ``untrained``: the network before its first step, and ``gained`` the
    paired difference from that, None where epoch 0 was not recorded."""

    leader: Group
    metric: str
    mean: Interval
    apart: list[str]
    others: list[str]
    untrained: Interval | None
    gained: Interval | None

    @property
    def rivals(self) -> int:
        return len(self.apart) + len(self.others)


def best(quality: Quality, division: str, dataset: str) -> Best | None:
    """Of the arms of which every seed ran, and as many as of any; None where there are none."""
    found = groups(quality.of_study(division, dataset))
    metric = numbers.main_metric(found)
    whole = [group for group in found if len(group.ran) == len(group.trainings)]
    most = max((len(group.ran) for group in whole), default=0)
    # One lucky seed of an arm whose others diverged is no mean to be first by.
    ranks = numbers.ranked([group for group in whole if len(group.ran) == most], metric)
    if not ranks:
        return None
    leader, mean = ranks[0]
    pairs = [p for p in numbers.compare(found, metric) if leader.label in (p.a, p.b)]
    apart = [p.b if p.a == leader.label else p.a for p in pairs if p.significant]
    rest = [group.label for group, _ in ranks[1:]]
    apart = [label for label in rest if label in apart]
    others = [label for label in rest if label not in apart]
    before = numbers.untrained([leader])
    start = numbers.over_seeds(numbers.by_seed(before, metric)) if before else None
    return Best(leader, metric, mean, apart, others, start, numbers.gained(leader, metric))


def _row(quality: Quality, division: str, dataset: str) -> tuple[Cell | str, ...] | None:
    one = best(quality, division, dataset)
    if one is None:
        return None
    metric, label = one.metric, one.leader.label
    value = f"{numbers.estimate(metric, one.mean)}, {units.plural(one.mean.count, 'seed')}"
    if metric != numbers.MAIN:
        value += " (seen identities)"
    apart = f"none of {one.rivals}"
    if one.apart:
        apart = f"{len(one.apart)} of {one.rivals}: {', '.join(one.apart)}"
    return (Cell(dataset, href=f"#{divisions.anchor(division, dataset)}"), division,
            Cell(label, mark=label), value, numbers.estimate(metric, one.untrained),
            _gained(one.gained), apart)  # fmt: skip


def _gained(found: Interval | None) -> Cell:
    """Whether training helped at all is not taken for granted."""
    if found is None:
        return Cell(units.NOTHING)
    if found.low is None or found.high is None:
        return Cell(numbers.signed(found.estimate))
    low, high = numbers.signed(found.low), numbers.signed(found.high)
    text = f"{numbers.signed(found.estimate)} [{low}, {high}]"
    return Cell(text, tone="bad" if found.high <= 0 else "good" if found.low > 0 else "")


def _verdicts(one: Judged) -> list[tuple[Cell | str, ...]]:
    """A row for the whole claim and one for each of its parts: one outcome over parts that came
    out differently would read as the opposite of what some of them found."""
    number, outcome, reason = str(one.claim.number), one.verdict.outcome, one.verdict.reason
    said: str = outcome
    if one.parts:
        said += " as a whole"
        came_to = counted([part.outcome for part in one.parts])
        reason = f"Of its {len(one.parts)} parts: {came_to}."
    rows: list[tuple[Cell | str, ...]] = [
        (number, Cell(said, tone=TONES[outcome]), Cell(one.claim.title, href=f"#{one.anchor}"),
         reason, scope(one.trainings))
    ]  # fmt: skip
    return rows + [
        (f"{number} ({part.label})", Cell(part.outcome, tone=TONES[part.outcome]),
         Cell(part.title, href=f"#{one.anchor}"), part.reason, "")
        for part in one.parts
    ]  # fmt: skip


def lead(quality: Quality, judged: list[Judged]) -> str:
    """The same in two or three sentences."""
    parts = []
    for division, dataset in quality.tables():
        one = best(quality, division, dataset)
        if one is None:
            continue
        parts.append(f"{dataset} ({division}): {_sentence(one)}.")
    tried = [one for one in judged if one.trainings]
    if not parts and not tried:
        return "No loss has completed its training yet."
    if tried:
        parts.append(_of_claims(tried))
    return " ".join(parts)


def _of_claims(tried: list[Judged]) -> str:
    on = scope(training for one in tried for training in one.trainings)
    if len(tried) > 1:
        words = counted([one.verdict.outcome for one in tried])
        return f"Of {len(tried)} of the papers' claims: {words}, tried on {on}."
    (one,) = tried
    said = f"Claim {one.claim.number} ({one.claim.title}): {one.verdict.outcome}"
    if not one.parts:
        return f"{said}, tried on {on}."
    of_parts = [f"{part.outcome}: {part.title}" for part in one.parts]
    return "; ".join([f"{said} as a whole", *of_parts, f"tried on {on}."])


def _sentence(one: Best) -> str:
    """A loss is first only where training gained something: on new identities it may not."""
    metric, label, gained = one.metric, one.leader.label, one.gained
    name = numbers.title(metric, arrow=False)
    mean = numbers.estimate(metric, one.mean)
    before = numbers.estimate(metric, one.untrained)
    if gained is not None and gained.estimate <= 0:
        return (f"no loss has a higher {name} than the untrained network, {before}; the highest "
                f"after training is {label}'s, {mean}")  # fmt: skip
    text = f"{label} has the highest {name}, {mean}"
    if not one.rivals:
        text += ", with nothing to compare it with"
    elif not one.others:
        text += ", significantly different from all others"
    elif one.apart:
        text += f", significantly different from {len(one.apart)} of {one.rivals}"
    else:
        text += ", not significantly different from any of the others"
    if gained is not None and gained.low is not None and gained.low <= 0:
        text += f"; not significantly above the untrained network's {before}"
    return text


PLACES = (Place(10, section),)
