"""A section for each division and dataset: the table with intervals, differences, figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.records.loading import Training
from reports.quality.comparisons import Comparison
from suites.quality.intervals import CONFIDENCE

from .. import units
from ..document import Block, Cell, Details, Section, Table, Text, Tone, table
from ..sections.context import slug
from ..sections.flat import flat, holders
from ..style import UNTRAINED, Styles
from . import notes, numbers, pictures, table_figures
from .reading import Group, Quality, groups

MEANING = {
    "closed": "Closed division: one recipe (network, budget, optimiser, batch) for all losses.",
    "open": "Open division: each loss tuned by a search of the same budget, on validation "
            "identities only.",
}  # fmt: skip
# Settings whose names hold one of these are the protocol: they stand beside the table.
_PROTOCOL = ("verif", "fold", "threshold", "flip", "preprocess", "batch", "disjoint", "split",
             "protocol", "evaluation", "division", "retrieval", "identities", "budget")  # fmt: skip
_DOTS = (numbers.MAIN, "recall_at_1", "verification_accuracy")
_CURVES = (numbers.MAIN, "recall_at_1", "seen_map_at_r")


def anchor(division: str, dataset: str) -> str:
    return slug(division, dataset)


def sections(quality: Quality, styles: Styles) -> list[Section]:
    return [_section(quality, division, dataset, styles) for division, dataset in quality.tables()]


def _section(quality: Quality, division: str, dataset: str, styles: Styles) -> Section:
    trainings = quality.of_study(division, dataset)
    found = groups(trainings)
    name = anchor(division, dataset)
    blocks: list[Block] = [Text(MEANING[division]), *_table(quality, found)]
    blocks += [*_protocol(trainings), *_differences(found)]
    blocks += _figures(name, found, styles)
    return Section(name, f"{dataset}, {division} division", blocks)


def _table(quality: Quality, found: list[Group]) -> list[Block]:
    metrics = numbers.main_columns(found)
    if not metrics:
        return [Text("No training of this table completed, so there are no figures.",
                     "warning"), _outcomes(quality, found)]  # fmt: skip
    main = numbers.main_metric(found)
    rows = [_row(quality, group, metrics, main) for group in found]
    before = numbers.untrained(found)
    if before is not None:
        seeds = str(len(before.trainings))
        first, *others = _cells(before, metrics)
        rows.append((Cell(UNTRAINED, mark=UNTRAINED), seeds, first, units.NOTHING, *others,
                     "epoch 0"))  # fmt: skip
    titles = [numbers.title(metric) for metric in metrics]
    titles.insert(1, GAINED)
    caption = "Mean over seeds ± half the width of its 95% interval"
    columns = ("loss", "seeds", *titles, "outcome")
    text = "The means are over all seeds that completed; none is selected. "
    if "map_at_r" in metrics:
        text += "Unless a column says seen, its identities were never trained on."
    else:
        text += "This dataset holds out no identities: other images of the trained ones are tested."
    if before is not None:
        text += (f" The untrained network is that of {before.label} before its first step; what "
                 "training gained is the paired difference from it.")  # fmt: skip
    if any(len(group.ran) == 1 for group in found):
        text += " A single seed gives no interval."
    made = table(columns, rows, caption, numeric=("seeds", *titles))
    every = numbers.columns(found)
    moved = [Text(one, "note") for one in notes.schedules(found)]
    return [Text(text, "note"), made, *moved, *_more(found, before), _seeds(quality, found, every),
            *_others(found, every)]  # fmt: skip


GAINED = "gained by training"


def _more(found: list[Group], before: Group | None) -> list[Block]:
    """The second table: what does not decide between losses but says how they differ."""
    metrics = numbers.more_columns(found)
    if not metrics:
        return []
    rows = [(Cell(group.label, mark=group.label), *_cells(group, metrics)) for group in found]
    if before is not None:
        rows.append((Cell(UNTRAINED, mark=UNTRAINED), *_cells(before, metrics)))
    titles = [numbers.title(metric) for metric in metrics]
    caption = "Rare false accepts, angles and costs: mean over seeds ± half of the 95% interval"
    blocks: list[Block] = [table(("loss", *titles), rows, caption, numeric=titles)]
    if set(metrics) & set(numbers.in_table("cost")):
        blocks.append(Text(" ".join(filter(None, (notes.waiting(found), notes.COSTS))), "note"))
    return blocks


def _row(
    quality: Quality, group: Group, metrics: Sequence[str], main: str
) -> tuple[Cell | str, ...]:
    run = group.first or group.trainings[0]
    ran, _, _ = numbers.state(group.trainings)
    whole = len(group.trainings)
    seeds = str(ran) if ran == whole else f"{ran} of {whole}"
    name = Cell(group.label, mark=group.label, href=quality.link(run))
    first, *others = _cells(group, metrics)
    return name, seeds, first, _gained(group, main), *others, outcome(group.trainings)


def _gained(group: Group, metric: str) -> Cell:
    """Red where training lost significantly, green where it gained."""
    found = numbers.gained(group, metric)
    if found is None:
        return Cell(units.NOTHING)
    text = numbers.signed(found.estimate)
    if found.low is None or found.high is None:
        return Cell(text)
    tone: Tone = "bad" if found.high <= 0 else "good" if found.low > 0 else ""
    return Cell(f"{text} ± {numbers.fixed(found.high - found.estimate)}", tone)


def _cells(group: Group, metrics: Sequence[str]) -> list[str]:
    return [numbers.estimate(m, numbers.over_seeds(numbers.by_seed(group, m))) for m in metrics]


def outcome(trainings: Sequence[Training]) -> Cell:
    """What became of them, with the reason of the first that failed."""
    ran, diverged, missing = numbers.state(trainings)
    if ran == len(trainings):
        return Cell("✓ ran", tone="good")
    parts = [f"{count} {word}" for count, word in ((diverged, "diverged"), (missing, "not run"))
             if count]  # fmt: skip
    reason = next(t.reason for t in trainings if t.status != "ok")
    return Cell(f"✗ {', '.join(parts)}: {reason}", tone="bad" if diverged else "quiet")


def _outcomes(quality: Quality, found: list[Group]) -> Table:
    rows = [(Cell(one.name, href=quality.link(one)), outcome([one]))
            for group in found for one in group.trainings]  # fmt: skip
    return table(("training", "outcome"), rows)


def _seeds(quality: Quality, found: list[Group], metrics: Sequence[str]) -> Details:
    rows = []
    for group in found:
        for one in group.trainings:
            ran = one.status == "ok"
            values = (numbers.figure(m, one.metrics.get(m)) if ran else units.NOTHING
                      for m in metrics)  # fmt: skip
            seed = Cell(str(one.seed), href=quality.link(one))
            label = Cell(group.label, mark=group.label)
            rows.append((label, seed, *values, outcome([one])))
    titles = [numbers.title(metric) for metric in metrics]
    made = table(("loss", "seed", *titles, "outcome"), rows, numeric=("seed", *titles))
    return Details(f"Every seed's value ({len(rows)} trainings)", [made])


def _others(found: list[Group], metrics: Sequence[str]) -> list[Block]:
    logged = dict.fromkeys(name for group in found for one in group.ran for name in one.metrics)
    rest = [name for name in logged if name not in metrics and name != "epoch"]
    if not rest:
        return []
    titles = [name.replace("_", " ") for name in rest]
    rows = [(Cell(group.label, mark=group.label), *_cells(group, rest)) for group in found]
    made = table(("loss", *titles), rows, numeric=titles)
    return [Details(f"Other metrics ({len(rest)})", [made])]


def _protocol(trainings: list[Training]) -> list[Block]:
    """Each setting once, with the arms it holds for; the protocol's in sight, the rest folded."""
    entries = [(one.arm, entry) for one in trainings for entry in flat(one.settings)]
    held = holders(entries, {one.arm for one in trainings})
    rows = [(key, value, names) for (key, value), names in held.items()]
    if not rows:
        return []
    beside = [row for row in rows if any(word in row[0].lower() for word in _PROTOCOL)]
    rest = [row for row in rows if row not in beside]
    columns = ("setting", "value", "losses")
    blocks: list[Block] = [table(columns, beside, "The protocol")] if beside else []
    if rest:
        blocks.append(Details(f"Other settings ({len(rest)})", [table(columns, rest)]))
    return blocks


def _differences(found: list[Group]) -> list[Block]:
    metric = numbers.main_metric(found)
    pairs = numbers.compare(found, metric)
    title = numbers.title(metric, arrow=False)
    if not pairs:
        text = "No two arms share a seed, so none can be compared."
        return [Text(text, "note")]
    rows = []
    for one in sorted(pairs, key=lambda p: (p.adjusted is None, p.adjusted)):
        middle = one.difference
        ends = units.NOTHING
        if middle.low is not None and middle.high is not None:
            ends = f"[{numbers.signed(middle.low)}, {numbers.signed(middle.high)}]"
        verdict = Cell("yes", tone="strong") if one.significant else Cell("no", tone="quiet")
        p_values = numbers.p_text(one.p_value), numbers.p_text(one.adjusted)
        rows.append((Cell(one.a, mark=one.a), Cell(one.b, mark=one.b),
                     numbers.signed(middle.estimate), ends, str(middle.count), *p_values,
                     verdict))  # fmt: skip
    survive = sum(one.significant for one in pairs)
    columns = ("loss", "against", f"difference of {title}", "95% interval", "seeds in both", "p",
               "p after Holm", "significant")  # fmt: skip
    text = (
        f"Differences of {title} between runs paired by seed (Student's paired test). p is "
        f"corrected by Holm over the {max(one.family for one in pairs)} pairs that share two "
        "seeds or more; the intervals are not corrected. A seed that only one of the two has is "
        f"left out. {survive} of {len(pairs)} differ significantly at 5%. {_power(pairs)}"
    )
    made = table(columns, rows, numeric=columns[2:7])
    return [Text("Differences between losses", "heading"), Text(text), _folded(made, len(rows))]


def _power(pairs: Sequence[Comparison]) -> str:
    """What that many seeds can show at all: the smallest ratio of a mean difference to its spread
    from seed to seed that survives as the smallest p-value of the family."""
    seeds = max((one.difference.count for one in pairs), default=0)
    family = max((one.family for one in pairs), default=0)
    if seeds < 2 or not family:
        return "With one seed no difference can be tested."
    from scipy.stats import t

    ratio = float(t.ppf(1 - (1 - CONFIDENCE) / (2 * family), seeds - 1)) / math.sqrt(seeds)
    return (f"With {seeds} seeds even the largest difference is significant only if it is at "
            f"least {ratio:.1f} times its standard deviation over seeds: 'no' does not prove that "
            "two losses are equal.")  # fmt: skip


def _folded(made: Table, rows: int) -> Block:
    return made if rows <= 12 else Details(f"All {rows} differences", [made])


def _figures(name: str, found: list[Group], styles: Styles) -> list[Block]:
    seen = numbers.main_metric(found) != numbers.MAIN
    prefix = numbers.SEEN if seen else ""
    logged = set(numbers.columns(found))
    metrics = [m for one in _DOTS if (m := prefix + one) in logged]
    curves = [m for m in ([f"{prefix}{one}" for one in _CURVES[:2]] if seen else _CURVES)
              if m in logged]  # fmt: skip
    made = [
        table_figures.dots(f"{name}-seeds", found, metrics, styles),
        pictures.embeddings(f"{name}-embeddings", found, prefix, styles),
        None if seen else pictures.embeddings(f"{name}-embeddings-seen", found, "seen_", styles),
        table_figures.curves(f"{name}-curves", found, curves, styles),
        pictures.roc(f"{name}-roc", found, prefix, styles),
        pictures.distances(f"{name}-distances", found, prefix),
    ]
    shown: list[Block] = [figure for figure in made if figure is not None]
    return [Text("Figures", "heading"), *shown] if shown else []
