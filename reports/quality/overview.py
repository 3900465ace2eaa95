"""The top of the page of a quality run; its sections are found in this folder by their places."""

from __future__ import annotations

from collections.abc import Sequence

from .. import units
from ..document import Document, Fact, Text
from ..style import Styles
from . import answer, numbers, places
from .judging import Context, Judged
from .reading import DIVISIONS, Quality

NOTES = (
    "Intervals are 95% (Student's, over seeds). Angles are in degrees, bytes in binary units (1 "
    "MiB = 1,048,576 bytes). Every training with its epochs and the data behind its figures is in "
    "the record file."
)
_FOOTER = f"{NOTES} The same tables are in report.md, the figures in summary.json."


def document(quality: Quality, judged: Sequence[Judged], styles: Styles) -> Document:
    """The whole page as data."""
    context = Context(quality, judged, styles)
    return Document(
        title="MarginBench: training quality",
        subtitle=_subtitle(quality),
        lead=answer.lead(quality, list(judged)),
        facts=_facts(quality, judged),
        notices=_notices(context),
        sections=[section for place in places() for section in place.made(context)],
        footer=_FOOTER,
    )


def _subtitle(quality: Quality) -> str:
    datasets = quality.trainings.each("dataset")
    text = f"Quality of the networks that each loss trains, on {', '.join(datasets)}"
    return text if datasets else "Nothing trained yet"


def _facts(quality: Quality, judged: Sequence[Judged]) -> list[Fact]:
    ran, diverged, missing = numbers.state(quality.trainings)
    machines = quality.trainings.each(lambda one: one.provenance.machine)
    session = quality.records.sessions[-1]
    tried = sum(bool(one.trainings) for one in judged)
    decided = sum(one.verdict.outcome == "reproduced" for one in judged)
    seeds = quality.trainings.where(study=DIVISIONS).each("seed")
    return [
        Fact("Networks trained", f"{ran:,}", f"{diverged:,} diverged, {missing:,} not run"),
        *([Fact("Seeds of a table's row", f"{len(seeds):,}")] if seeds else []),
        *(
            [Fact("Claims reproduced as a whole", f"{decided:,}", f"of {tried:,} tried")]
            if tried
            else []
        ),
        Fact("Machine", " and ".join(machines) or "unknown"),
        Fact("Started", session.started_at[:10]),
        Fact("Commit", session.commit[:12] or "unknown", "dirty" if session.dirty else "clean"),
    ]


def _notices(context: Context) -> list[Text]:
    quality, records, found = context.quality, context.quality.records, []
    if not records.finished:
        left = len(records.missing)
        found.append(f"Incomplete run: {left:,} of {len(records.planned):,} planned trainings are "
                     "missing. Repeat the command to resume.")  # fmt: skip
    if any(session.dirty for session in records.sessions):
        found.append("Trained with uncommitted changes in the tree: the commit does not identify "
                     "what was trained, so nobody else can reproduce it.")  # fmt: skip
    if len(records.machines) > 1:
        found.append(f"Trained on {len(records.machines)} machines, or with that many sets of "
                     "versions: figures may differ in their last digits, and speeds can't be "
                     "compared.")  # fmt: skip
    commits = dict.fromkeys(session.commit for session in records.sessions)
    if len(commits) > 1:
        found.append(f"Trained at {len(commits)} commits: {', '.join(commits)}.")
    diverged = len(quality.trainings.where(status="worse"))
    if diverged:
        found.append(f"{units.plural(diverged, 'training')} diverged and are in no mean: see Not "
                     "run, and diverged.")  # fmt: skip
    found += [f"Claim {one.claim.number}: {one.failed}" for one in context.judged if one.failed]
    found += [f"The catalogue has no claim named {name}." for name in context.unknown]
    return [Text(text, "warning") for text in found]
