"""The claims: what a paper says, what counts as reproduced, what came out, with its figures."""

from __future__ import annotations

from collections.abc import Sequence

from suites.claims.claim import Outcome

from .. import units
from ..document import Block, Cell, Details, Section, Table, Text, table
from ..rows import Rows
from ..sections.context import slug
from ..sections.place import Place
from ..style import Styles
from . import numbers, plots
from .answer import SCOPE
from .divisions import outcome
from .judging import TONES, Context, Judged, scope
from .reading import CLAIMS, Quality, groups

TITLE = "Claims of the papers"
_SYMBOLS: dict[Outcome, str] = {"reproduced": "✓", "not reproduced": "✗", "inconclusive": "?"}


def section(context: Context) -> Section:
    quality = context.quality
    blocks: list[Block] = [Text(_READ)]
    if not context.judged:
        blocks.append(Text("The catalogue has no claims."))
    for one in context.judged:
        blocks += _claim(quality, one, context.styles)
    for name in context.unknown:
        blocks += [
            Text(f"Unknown claim: {name}", "heading"),
            Text(f"Trainings of this run name a claim {name} that the catalogue does not have, so "
                 "there is no criterion to judge them by.", "warning"),
            _trainings(quality, quality.of_study(f"{CLAIMS}{name}")),
        ]  # fmt: skip
    return Section("claims", TITLE, blocks)


_READ = (
    "Each criterion was written before the trainings that it judges here; "
    "docs/training-quality.md lists what trial runs changed before that. The code that states a "
    "criterion computes its verdict from the records. A claim is also inconclusive if a seed is "
    "missing or diverged, or if there is only one. Few seeds give wide intervals: a 95% interval "
    "over three seeds reaches 2.5 standard deviations to each side, over five 1.2. So few seeds "
    "can show a large effect, or that there is none as large as the criterion asks; anything else "
    f"is inconclusive. {SCOPE}"
)


def _claim(quality: Quality, one: Judged, styles: Styles) -> list[Block]:
    claim, verdict = one.claim, one.verdict
    parts = [(f"part ({part.label})", _said(part.outcome, f": {part.title}")) for part in one.parts]
    whole = _said(verdict.outcome, " as a whole" if parts else "")
    rows = [("the paper says", claim.statement), ("source", claim.source),
            ("criterion", claim.criterion), ("verdict", whole), *parts,
            ("holds for", scope(one.trainings) or "nothing: none was trained"),
            ("why", verdict.reason)]  # fmt: skip
    blocks: list[Block] = [Text(f"{claim.number}. {claim.title}", "heading", one.anchor),
                           table(("", ""), rows)]  # fmt: skip
    if one.failed:
        blocks.append(Text(one.failed, "warning"))
    if verdict.estimates:
        blocks.append(_estimates(one))
    for place, plot in enumerate(one.plots):
        name = slug(one.anchor, plot.name, str(place + 1))
        try:
            blocks.append(plots.draw(plot, name, styles))
        except Exception as error:  # one figure's failure is its own
            text = f"The figure '{plot.title}' could not be drawn: {error}"
            blocks.append(Text(text, "warning"))
    if one.trainings:
        blocks.append(_trainings(quality, one.trainings))
    return blocks


def _said(outcome: Outcome, of: str) -> Cell:
    return Cell(f"{_SYMBOLS[outcome]} {outcome}{of}", tone=TONES[outcome])


def _estimates(one: Judged) -> Table:
    rows = []
    for found in one.verdict.estimates:
        between = units.NOTHING
        if found.low is not None and found.high is not None:
            between = f"[{_value(found.low, found.unit)}, {_value(found.high, found.unit)}]"
        rows.append((found.label, _value(found.value, found.unit), between, str(found.count)))
    columns = ("estimate behind the verdict", "mean", "95% interval", "seeds")
    return table(columns, rows, numeric=columns[1:])


def _value(number: float, unit: str) -> str:
    """Metrics' units, and any other as a word behind; shares to the digit that can matter."""
    if unit == "1":
        return numbers.fixed(number)
    if unit in ("s", "bytes", "count"):
        return units.value(number, unit)
    return f"{units.digits3(number)} {unit}"


def _trainings(quality: Quality, trainings: Sequence) -> Details:
    """Every arm with its seeds; each seed links to its run."""
    rows = []
    for dataset, found in Rows(trainings).by("dataset").items():
        for group in groups(found):
            rows += [(group.label, dataset, Cell(str(t.seed), href=quality.link(t)), outcome([t]))
                     for t in group.trainings]  # fmt: skip
    made = table(("arm", "dataset", "seed", "outcome"), rows, numeric=("seed",))
    return Details(f"Trainings behind it ({len(rows)})", [made])


PLACES = (Place(40, section),)
