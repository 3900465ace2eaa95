"""Pages that are not of a run of the suites: training quality, and the gate's trial."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..document import Block, Cell, Document, Link, Links, Part, Section, Text, Tone, table
from ..gate.trust import page as trial_pages
from ..gate.trust import trials
from ..gate.trust.findings import Target, findings, targets
from ..quality import build, overview, reading
from ..style import Styles
from ..units import NOTHING
from . import figure_data
from .frame import FOOTER, Frame, quality_page, trial_page
from .sources import Folder
from .writing import Output

_TONES: dict[str, Tone] = {"met": "good", "missed": "bad"}
# There are no cases of the suites behind these figures: their tables are all of it.
without_records = functools.partial(figure_data.data, cases={}, records={})


@dataclass(frozen=True)
class Trained:
    """What the overview says of a quality run. ``compares``: it has tables of losses, not claims
    alone."""

    name: str
    title: str
    lead: str
    answer: list[Block]
    machine: str
    started: str
    compares: bool


@dataclass(frozen=True)
class Trial:
    """The gate's trial; ``page``: the whole of it, ``written``: hashes by path."""

    name: str
    title: str
    page: str
    targets: Sequence[Target]
    measured: str
    trials: int
    written: Mapping[str, str]


def quality(folder: Folder, frame: Frame, output: Output) -> Trained:
    """The page of a quality run, drawn from its records; raises RecordError as reading does."""
    found = reading.read(folder.path)
    made, styles, figures = build.page(found)
    path = quality_page(folder.name)
    summary = f"{path.removesuffix('.html')}.json"
    output.write(summary, figures)
    blocks: list[Block] = [
        *_files(folder, summary), Text("Train one row again and compare it with its record:"),
        Text(f"marginbench quality again {found.where} NAME", "code"),
    ]  # fmt: skip
    files = Section("files", "Files, and how to train one row again", blocks)
    document = replace(
        made, title=f"Training quality: {folder.shown}", sections=[*made.sections, files],
        footer=overview.NOTES,
    )  # fmt: skip
    figures_at = f"figures/quality/{folder.name}"
    output.page(document, frame.page(path, styles=styles, figures=figures_at), without_records)
    session = found.records.sessions[-1]
    machines = found.trainings.each(lambda one: one.provenance.machine)
    answer = Part(made.sections[0].blocks, page=path)
    return Trained(
        folder.name, folder.shown, made.lead, [answer], " and ".join(machines) or "unknown machine",
        session.started_at[:10], bool(found.tables()),
    )  # fmt: skip


def _files(folder: Folder, summary: str) -> list[Block]:
    records = Link(str(folder.typed), folder.address(folder.records.name))
    return [
        Links((records,), "The record file, complete, as committed, in a clone:"),
        Links((Link(Path(summary).name, summary),), "The figures of this page as JSON:"),
    ]


def trial(folder: Folder, frame: Frame, root: Path) -> Trial:
    """The page of a trial, drawn from its record; raises RecordError as reading does. A minute's
    work of one process."""
    output = Output(root)
    found = findings(trials.read(folder.records))
    path = trial_page(folder.name)
    summary = f"{path.removesuffix('.html')}.json"
    output.write(summary, trial_pages.summary_json(found))
    made = trial_pages.document(found)
    files = Section("files", "Files", _files(folder, summary))
    document = replace(
        made, title=f"The gate on trial: {folder.shown}", sections=[*made.sections, files],
        footer=trial_pages.NOTES,
    )  # fmt: skip
    page = frame.page(path, styles=Styles(()), figures=f"figures/gate/{folder.name}")
    output.page(document, page, without_records)
    sessions = found.trust.sessions
    return Trial(folder.name, folder.shown, path, targets(found),
                 str(sessions[-1]["started_at"])[:10], len(found.trust.trials),
                 output.written)  # fmt: skip


def gate_document(made: Sequence[Trial]) -> Document:
    sections = []
    for one in made:
        rows = [
            (t.name, t.asked, t.measured, Cell(t.state, tone=_TONES.get(t.state, "quiet")),
             t.open or NOTHING)
            for t in one.targets
        ]  # fmt: skip
        columns = ("target", "asked", "measured", "state", "left open")
        text = f"The whole trial, {one.trials:,} verdicts with every leg, measured {one.measured}:"
        blocks: list[Block] = [
            table(columns, rows), Links((Link("the trial's page", one.page),), text)
        ]  # fmt: skip
        sections.append(Section(f"gate-{one.name}", f"On {one.title}", blocks))
    met = sum(t.state == "met" for one in made for t in one.targets)
    whole = sum(len(one.targets) for one in made)
    lead = (
        f"Of the {whole} targets set for the gate, {met} are met. The gate says whether a change "
        "made a loss slower, larger or wrong; its own false alarms and misses were measured by "
        "running unchanged code against itself and by planting slow-downs."
    )
    if not made:
        lead = "The gate's own trial was not published yet: marginbench gate-trust"
    return Document(
        title="Can the gate be trusted?", subtitle="the regression gate, measured itself",
        lead=lead, sections=sections, footer=FOOTER,
    )  # fmt: skip
