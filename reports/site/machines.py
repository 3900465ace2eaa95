"""One published run: its record pages, its figures' files, its own page, and what it says of each
loss. This is the work of one process; only plain data goes in and out."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import record_files

from .. import units
from ..comparison import answer
from ..document import Block, Cell, Document, Fact, Link, Links, Section, Table, Text, table
from ..overview import lead, machine, notices
from ..reading import Records
from ..sections import provenance, targets
from ..sections.agreement import ALLOWED
from ..sections.answer import timed_cases, winner_cell
from ..sections.context import mark, numbered, slug
from ..style import Styles
from . import figure_files, loading, machine_facts, record_pages, rendering, topics
from .context import SiteContext, loss_page, machine_page
from .ranking import CRITERION, ranking
from .rendering import Frame
from .sources import MACHINE_FILE, Folder, MachineFile, machine_file
from .summaries import Summary, summary
from .writing import Output

_CONTENDER = re.compile(r'"contender":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Made:
    """``losses``: by loss, by topic, blocks with addresses from the site's root. ``records``: by
    case id where on the site its record lies; ``written``: hashes by path."""

    summary: Summary
    losses: Mapping[str, Mapping[str, list[Block]]]
    records: Mapping[str, str]
    written: Mapping[str, str]


def contenders(path: Path) -> set[str]:
    """Every contender that a record file names, without checking the file."""
    found: set[str] = set()
    try:
        with record_files.opened(path, errors="replace") as file:
            for line in file:
                found.update(_CONTENDER.findall(line))
    except (lzma.LZMAError, EOFError):
        pass  # reported when it is read in earnest
    return {str(json.loads(text)) for text in found}


def title_of(folder: Folder, facts: MachineFile) -> str:
    return facts.title or folder.shown


@loading.seldom_collected()
def build(folder: Folder, frame: Frame, out: Path) -> Made:
    """Writes all that lies under the folder's name. Raises RecordError as reading does."""
    records = loading.load(folder.records)
    facts = machine_facts.of_this(machine_file(folder.path), records)
    # Where it is published, wherever this copy lies: a site says the same after it was moved.
    resume = record_files.resumption(Path("reports/published", folder.shown, folder.records.name))
    context = SiteContext(records, frame.styles, resume, numbered(records))
    output = Output(out)
    whole = f"data/{folder.name}/{folder.records.name}"
    output.copy(whole, folder.records)
    if not facts.missing:
        output.copy(machine_facts.place(folder), folder.path / MACHINE_FILE)
    places: dict[str, str] = {}
    cases = [(context.anchor(m), m) for m in records.cases]
    for page in record_pages.build(folder.name, cases, f"../../{whole}"):
        places |= page.anchors
        subtitle = f"records of {title_of(folder, facts)}"
        output.write(page.path, rendering.bare(page.title, subtitle, page.body, page.path, frame))
    rates = _rates(records, facts)
    by_id = {m.case.id: m for m in records.cases}
    losses: dict[str, Mapping[str, list[Block]]] = {}
    for loss in context.losses():
        made: dict[str, list[Block]] = {}
        for topic, blocks in topics.of_loss(context, loss, rates, places).items():
            at = f"figures/{folder.name}/{slug(loss)}"
            named, files = figure_files.with_files(blocks, at, by_id, places)
            for path, text in files.items():
                output.write(path, text)
            made[topic] = topics.placed(named, folder.name)
        losses[loss] = made
    found = summary(folder.name, title_of(folder, facts), machine(records), records)
    path = machine_page(folder.name)
    document = _document(context, folder, facts, found, places, whole)
    output.write(path, rendering.page(document, path, frame))
    return Made(found, losses, places, output.written)


def _rates(records: Records, facts: MachineFile) -> dict[int, Mapping[str, float]]:
    """By machine: what its session measured, or what is said of it beside the records."""
    found: dict[int, Mapping[str, float]] = {}
    of_session = {s.session: s.information.get("rates") for s in records.sessions}
    for measured in records.cases:
        rates = of_session.get(measured.session)
        found.setdefault(
            measured.machine, rates if isinstance(rates, dict) and rates else facts.rates
        )
    return found


def _document(
    context: SiteContext, folder: Folder, facts: MachineFile, found: Summary,
    places: Mapping[str, str], whole: str,
) -> Document:  # fmt: skip
    records = context.records
    aims = topics.resolved(targets.section(context).blocks, context, places)
    sections = [
        Section("machine", "The machine", machine_facts.blocks(context, folder, facts)),
        Section(
            "ranking", "Ranking on this machine", [Text(CRITERION, "note"), *ranking(found.ranks)]
        ),
        Section("targets", targets.TITLE, aims),
        Section("agreement", "Agreement with the reference", _agreement(found, places)),
        Section("cases", "All cases measured", _cases(context, places)),
        Section("files", "Files", _files(whole)),
        _provenance(context, places),
    ]
    return Document(
        title=found.title,
        subtitle=f"{found.about}; measured {found.measured}, preset {found.preset}",
        lead=lead(records),
        facts=_facts(found),
        notices=notices(context),
        sections=[one for one in sections if one.blocks],
        footer=rendering.FOOTER,
    )


def _facts(found: Summary) -> list[Fact]:
    passed, failed, missing = found.results
    state = "dirty" if found.dirty else "clean"
    return [
        Fact("Cases", f"{found.cases:,}"),
        Fact("Results passed", f"{passed:,}"),
        Fact("Results failed", f"{failed:,}", "outside the error bound"),
        Fact("Not run", f"{missing:,}", "each with its reason"),
        Fact("Measured", found.measured),
        Fact("Commit", found.commit[:12] or "unknown", state),
    ]


def _agreement(found: Summary, places: Mapping[str, str]) -> list[Block]:
    """By contender; the matrices stand on the losses' pages."""
    rows = [
        (
            mark(one.contender),
            "the interpreter" if one.interpreted else one.device,
            f"{one.comparisons:,}",
            Cell(f"{one.failed:,}", tone="bad" if one.failed else ""),
            Cell(units.digits3(one.worst), href=places.get(one.where, "")),
            f"{one.not_run:,}",
            Cell(one.reason if one.not_run else "", tone="quiet"),
        )
        for one in found.rightness
    ]
    if not rows:
        return [Text("Agreement was not measured in this run.")]
    columns = (
        "contender", "computed by", "comparisons", "failed", "worst multiple of eager's error",
        "not run", "why",
    )  # fmt: skip
    links = tuple(
        Link(loss, f"{loss_page(loss)}#agreement")
        for loss in dict.fromkeys(best.loss for best in found.bests)
    )
    return [
        Text(
            f"Values and gradients against the float64 reference of the same definition. {ALLOWED}"
        ),
        table(columns, rows, numeric=columns[2:6]),
        Links(links, "By variant and dtype:"),
    ]


def _cases(context: SiteContext, places: Mapping[str, str]) -> list[Block]:
    timed = {m.case.id for m in timed_cases(context)}
    rows: list[tuple[Cell | str, ...]] = []
    for measured in context.records.cases:
        case = measured.case
        states = [result.status for result in measured.results]
        state = f"{states.count('worse')} failed" if "worse" in states else "passed"
        if states and set(states) == {"not_run"}:
            state = "not run"
        winner = winner_cell(answer(measured)) if case.id in timed else Cell("not timed", "quiet")
        variant = Cell(f"{case.variant}{case.own_sizes}", href=places.get(case.id, ""))
        rows.append(
            (case.suite, case.loss, variant,
             f"{case.batch:,}", f"{case.dim:,}", f"{case.classes:,}", case.dtype, case.device,
             case.data, winner, f"{len(states):,}", Cell(state, "bad" if "failed" in state else ""))
        )  # fmt: skip
    columns = ("suite", "loss", "variant", "B", "D", "C", "dtype", "device", "data", "fastest",
               "results", "status")  # fmt: skip
    return [_table(columns, rows)] if rows else [Text("No case was completed.")]


def _table(columns: tuple[str, ...], rows: list) -> Table:
    return table(columns, rows, numeric=("B", "D", "C", "results"))


def _files(whole: str) -> list[Block]:
    links = (Link(whole.rpartition("/")[2], whole),)
    return [Links(links, "The record file, complete, as committed:")]


def _provenance(context: SiteContext, places: Mapping[str, str]) -> Section:
    made = provenance.section(context)
    return Section(made.name, made.title, topics.resolved(made.blocks, context, places))


def styles(paths: list[Path], declared: set[str]) -> Styles:
    """One style a contender over the whole site."""
    found = set(declared)
    for path in paths:
        found |= contenders(path)
    return Styles(sorted(found))
