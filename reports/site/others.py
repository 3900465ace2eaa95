"""Pages that are not of a run of the suites: training quality, the gate's trial, how to check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.records import RecordError

from ..document import (
    Block,
    Cell,
    Document,
    Fact,
    Link,
    Links,
    Section,
    Table,
    Text,
    Tone,
    mapped,
    table,
)
from ..gate.trust import SUMMARY
from ..quality import answer, judging, overview, reading
from ..style import LossStyles
from ..units import NOTHING
from . import figure_files, rendering
from .context import quality_page
from .rendering import FOOTER, Frame
from .sources import Folder, Published
from .writing import Output

GATE_PAGE, REPRODUCE = "gate.html", "reproduce.html"
_TRUST_PAGE = "index.html"
_TRUST_FILES = ("report.md", SUMMARY)
# What the site adds to the trial's own page, which knows of no site, and where.
WAY_BACK = (
    '<nav aria-label="Site"><a href="../../index.html">Overview</a> · '
    f'<a href="../../{GATE_PAGE}">The gate</a></nav>\n'
)
_BEFORE = "<header>\n"
_TONES: dict[str, Tone] = {"met": "good", "missed": "bad"}


@dataclass(frozen=True)
class Trained:
    """What the overview says of a quality run; addresses from the site's root. ``compares``: it
    has tables of losses, not claims alone."""

    name: str
    title: str
    lead: str
    answer: list[Block]
    machine: str
    started: str
    compares: bool


@dataclass(frozen=True)
class Trial:
    """The gate's trial: ``targets`` as its summary has them; ``page``: the whole of it."""

    name: str
    title: str
    page: str
    targets: list[dict[str, Any]]
    measured: str
    trials: int


def quality(folder: Folder, frame: Frame, output: Output) -> Trained:
    """The page of a quality run, drawn from its records; raises RecordError as reading does."""
    found = reading.read(folder.path)
    judged = judging.judge(found)
    styles = LossStyles(found.labels())
    made = overview.document(found, judged, styles)
    whole = f"data/quality/{folder.name}/{folder.records.name}"
    output.copy(whole, folder.records)
    sections = []
    for section in made.sections:
        blocks, files = figure_files.with_files(
            section.blocks, f"figures/quality/{folder.name}", {}, {}
        )
        for path, text in files.items():
            output.write(path, text)
        sections.append(replace(section, blocks=blocks))
    links = Links(
        (Link(folder.records.name, whole),), "Every training, with its epochs and series:"
    )
    again: list[Block] = [
        links, Text("Train one row again and compare it with its record:"),
        Text(f"marginbench quality again {found.where} NAME", "code"),
    ]  # fmt: skip
    sections.append(Section("files", "Files, and how to train one row again", again))
    document = replace(made, title=f"Training quality: {folder.shown}", sections=sections)
    path = quality_page(folder.name)
    output.write(path, rendering.page(document, path, replace(frame, styles=styles)))
    blocks = _elsewhere(answer.section(found, list(judged)).blocks, path)
    session = found.records.sessions[-1]
    machines = dict.fromkeys(t.provenance.machine for t in found.trainings)
    return Trained(
        folder.name, folder.shown, made.lead, blocks, " and ".join(machines) or "unknown machine",
        session.started_at[:10], bool(found.tables()),
    )  # fmt: skip


def _elsewhere(blocks: Sequence[Block], path: str) -> list[Block]:
    """Blocks of that page as they stand on another one."""

    def change(block: Block) -> Block:
        if not isinstance(block, Table):
            return block
        rows = tuple(
            tuple(replace(c, link="", href=f"{path}#{c.link}") if c.link else c for c in row)
            for row in block.rows
        )
        return replace(block, rows=rows)

    return mapped(blocks, change)


def trial(folder: Folder, output: Output) -> Trial:
    """The committed page of a trial, with what it lies beside: `marginbench verify` works it out
    again, which takes a minute. All is copied byte for byte, but for `WAY_BACK` in the page.
    Raises RecordError where the page or its summary is missing or damaged."""
    stem = f"gate/{folder.name}"
    for name in (_TRUST_PAGE, *_TRUST_FILES):
        path = folder.path / name
        if not path.is_file():
            raise RecordError(
                f"gate's trial: expected {name} in {folder.path}; it is not there: marginbench "
                f"gate-trust --page-only --out {folder.path}"
            )
        if name != _TRUST_PAGE:
            output.copy(f"{stem}/{name}", path)
    output.write(f"{stem}/{_TRUST_PAGE}", _with_way_back(folder.path / _TRUST_PAGE))
    for path in sorted((folder.path / "figures").glob("*.svg")):
        output.copy(f"{stem}/figures/{path.name}", path)
    output.copy(f"{stem}/{folder.records.name}", folder.records)
    try:
        found = json.loads((folder.path / SUMMARY).read_text(encoding="utf-8"))
        sessions, targets, trials = found["sessions"], found["targets"], found["trials"]
        return Trial(folder.name, folder.shown, f"{stem}/{_TRUST_PAGE}", list(targets),
                     str(sessions[-1]["started_at"])[:10], int(trials))  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RecordError(f"gate's trial: {folder.path / SUMMARY} is damaged: {error!r}") from None


def _with_way_back(path: Path) -> str:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        text = ""
    if text.count(_BEFORE) != 1:
        raise RecordError(
            f"gate's trial: expected one {_BEFORE.strip()} in {path}; got {text.count(_BEFORE)}: "
            f"marginbench gate-trust --page-only --out {path.parent}"
        )
    return text.replace(_BEFORE, WAY_BACK + _BEFORE)


def gate_document(trials: Sequence[Trial]) -> Document:
    sections = []
    for one in trials:
        rows = [
            (str(t["name"]), str(t["asked"]), str(t["measured"]),
             Cell(str(t["state"]), tone=_TONES.get(str(t["state"]), "quiet")),
             str(t.get("open") or NOTHING))
            for t in one.targets
        ]  # fmt: skip
        columns = ("target", "asked", "measured", "state", "left open")
        text = f"The whole trial, {one.trials:,} verdicts with every leg, measured {one.measured}:"
        blocks: list[Block] = [
            table(columns, rows), Links((Link("the trial's page", one.page),), text),
            Text("Rebuild that page from its record and compare it, except for its link back "
                 "here, with:"),
            Text(f"marginbench verify reports/published/gate-trust/{one.title}", "code"),
        ]  # fmt: skip
        sections.append(Section(f"gate-{one.name}", f"On {one.title}", blocks))
    met = sum(t["state"] == "met" for one in trials for t in one.targets)
    whole = sum(len(one.targets) for one in trials)
    lead = (
        f"Of the {whole} targets set for the gate, {met} are met. The gate says whether a change "
        "made a loss slower, larger or wrong; its own false alarms and misses were measured by "
        "running unchanged code against itself and by planting slow-downs."
    )
    if not trials:
        lead = "The gate's own trial was not published yet: marginbench gate-trust"
    return Document(
        title="Can the gate be trusted?", subtitle="the regression gate, measured itself",
        lead=lead, facts=[], notices=[], sections=sections, footer=FOOTER,
    )  # fmt: skip


_STEPS = (
    ("Install", "From the root of a clone; make installs into .venv what requirements.lock pins. "
                "Type the other commands there too.",
     "make .venv/.bench\n. .venv/bin/activate"),
    ("Look at what is committed", "Measures nothing: rebuilds this site from the committed "
                                  "records and checks that it equals what you read.",
     "marginbench verify reports/published"),
    ("Is it right?", "Every kernel against its float64 reference: values and gradients, in "
     "Triton's interpreter where there is no GPU, compiled where there is one.",
     "marginbench run --suite agreement\nmake test\nmake sanitize"),
    ("Measure one figure again", "Each linked figure leads to its record, which has the command "
                                 "for that one case, such as:",
     "marginbench run --case speed/triplet/batch-hard/B512-D128-C128/float32/cpu/drawn/s0"),
    ("Measure all of it", "A rigorous run takes up to two hours on two cores; a fast one a minute.",
     "make bench ARGS=--rigorous"),
    ("Train again", "The tables of training quality, and one row of them.",
     "marginbench quality run\nmarginbench quality again RECORDS NAME"),
    ("What the kernels compile to", "Needs no GPU.", "marginbench static"),
    ("Publish", "A finished run's records go into a folder of their own under reports/published; "
     "beside them machine.json, with the rates that the roofline is drawn from, measured on the "
     "same machine. Then the site is built.",
     "mkdir reports/published/NAME\n"
     "xz -c reports/out/RUN/records.jsonl > reports/published/NAME/records.jsonl.xz\n"
     "python -m benchmarks.rates reports/published/NAME\n"
     "marginbench publish\nmarginbench verify reports/published"),
)  # fmt: skip


def reproduce_document(published: Published, trials: Sequence[Trial]) -> Document:
    sections: list[Section] = []
    for number, (title, text, command) in enumerate(_STEPS, start=1):
        sections.append(Section(f"step-{number}", title, [Text(text), Text(command, "code")]))
    rows = [
        (kind, folder.shown, Cell(folder.records.name, code=True), f"{_size(folder.records):,}")
        for kind, folders in (("run", published.machines), ("quality", published.quality),
                              ("gate's trial", published.gate))
        for folder in folders
    ]  # fmt: skip
    blocks: list[Block] = [
        table(("kind", "folder", "file", "bytes"), rows, "What this site is made of",
              numeric=("bytes",)),
        Text("manifest.json lists the SHA-256 of each of these and of each file of the site. Its "
             "declared field holds the versions that the site was built with; all else comes from "
             "the records alone."),
    ]  # fmt: skip
    if published.left_out:
        said = ", ".join(published.left_out)
        blocks.append(Text(f"Folders without records, which are left out: {said}.", "note"))
    sections.append(Section("sources", "What it is made of", blocks))
    lead = (
        "Every figure here comes from a committed record with all its raw rounds. Times differ "
        "between machines: compare ratios within one session, never times across machines. Exact "
        "figures (bytes, counts, what kernels compile to) repeat exactly."
    )
    return Document(
        title="How do I check that myself?", subtitle="commands, from a clone", lead=lead,
        facts=[Fact("Record files", str(len(rows)))], notices=[], sections=sections, footer=FOOTER,
    )  # fmt: skip


def _size(path: Path) -> int:
    return path.stat().st_size
