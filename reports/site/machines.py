"""One published run: its record pages, its figures' files, its own page, and what it says of each
loss. This is the work of one process; only plain data goes in and out."""

from __future__ import annotations

import functools
import gc
import json
import lzma
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.records import record_files

from .. import document, pages, reading, units
from ..comparison import answer
from ..document import Block, Cell, Document, Link, Links, Part, Section, Table, Text, table
from ..overview import facts, lead, machine, notices
from ..reading import Records
from ..sections import sections_of
from ..sections.agreement import ALLOWED
from ..sections.answer import timed_cases, winner_cell
from ..sections.context import Context, mark, slug
from ..style import Styles
from . import figure_data, machine_facts, record_pages, topics
from .frame import FOOTER, Frame, loss_page, machine_page
from .ranking import CRITERION, ranking
from .sources import Folder, MachineFile, machine_file
from .summaries import Summary, summary
from .writing import Output

_CONTENDER = re.compile(r'"contender":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Made:
    """``losses``: by loss, what the machine says of it; each section is a `Part`. ``records``: by
    case id where on the site its record lies; ``written``: hashes by path."""

    summary: Summary
    losses: Mapping[str, Sequence[Section]]
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


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Cycles of garbage are looked for seldom, inside: records and figures are so many objects that
    looking took a tenth of the time. Few hold cycles, so that memory grows by little."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@_seldom_collected()
def build(folder: Folder, frame: Frame, out: Path) -> Made:
    """Writes all that lies under the folder's name. Raises RecordError as reading does."""
    records = reading.load(folder.records)
    said = machine_facts.of_this(machine_file(folder.path), records)
    context = Context(records, frame.styles, record_files.resumption(folder.typed))
    output = Output(out)
    found = summary(folder.name, title_of(folder, said), machine(records), records)
    places: dict[str, str] = {}
    cases = [(context.anchors[m.case.id], m) for m in records.cases]
    for one in record_pages.build(folder, cases):
        places |= one.anchors
        made = Document(one.title, f"records of {found.title}")
        output.write(one.path, pages.render(made, frame.page(one.path), one.body))
    data = functools.partial(
        figure_data.data, cases={m.case.id: m for m in records.cases}, records=places
    )
    rates = _rates(records, said)
    losses: dict[str, list[Section]] = {}
    for loss in context.losses():
        figures = f"figures/{folder.name}/{slug(loss)}"
        losses[loss] = []
        for section in topics.of_loss(context, loss, rates, places):
            part = Part(section.blocks, folder.name, records=places, figures=figures)
            output.figures(document.figures([part]), figures, data)
            losses[loss].append(replace(section, blocks=[part]))
    page = frame.page(machine_page(folder.name), records=places, figures=f"figures/{folder.name}")
    output.page(_document(context, folder, said, found), page, data)
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
    context: Context, folder: Folder, said: MachineFile, found: Summary
) -> Document:  # fmt: skip
    records = context.records
    sections = [
        Section("machine", "The machine", machine_facts.blocks(context, folder, said)),
        Section(
            "ranking", "Ranking on this machine", [Text(CRITERION, "note"), *ranking(found.ranks)]
        ),
        Section("agreement", "Agreement with the reference", _agreement(found)),
        *(one for one in sections_of("machine", context) if not one.empty),
        Section("cases", "All cases measured", _cases(context)),
        Section("files", "Files", _files(folder)),
    ]
    return Document(
        title=found.title,
        subtitle=f"{found.about}; measured {found.measured}, preset {found.preset}",
        lead=lead(records),
        facts=facts(records),
        notices=notices(context),
        sections=[one for one in sections if one.blocks],
        footer=FOOTER,
    )


def _agreement(found: Summary) -> list[Block]:
    """By contender; the matrices stand on the losses' pages."""
    rows = [
        (
            mark(one.contender),
            "the interpreter" if one.interpreted else one.device,
            f"{one.comparisons:,}",
            Cell(f"{one.failed:,}", tone="bad" if one.failed else ""),
            Cell(units.digits3(one.worst), record=one.where),
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
        for loss in dict.fromkeys(best.case.loss for best in found.bests)
    )
    return [
        Text(
            f"Values and gradients against the float64 reference of the same definition. {ALLOWED}"
        ),
        table(columns, rows, numeric=columns[2:6]),
        Links(links, "By variant and dtype:"),
    ]


def _cases(context: Context) -> list[Block]:
    timed = {m.case.id for m in timed_cases(context)}
    rows: list[tuple[Cell | str, ...]] = []
    for measured in context.records.cases:
        case = measured.case
        states = [result.status for result in measured.results]
        state = f"{states.count('worse')} failed" if "worse" in states else "passed"
        if states and set(states) == {"not_run"}:
            state = "not run"
        winner = winner_cell(answer(measured)) if case.id in timed else Cell("not timed", "quiet")
        rows.append(
            (case.suite, case.loss, Cell(f"{case.variant}{case.own_sizes}", record=case.id),
             f"{case.batch:,}", f"{case.dim:,}", f"{case.classes:,}", case.dtype, case.device,
             case.data, winner, f"{len(states):,}", Cell(state, "bad" if "failed" in state else ""))
        )  # fmt: skip
    columns = ("suite", "loss", "variant", "B", "D", "C", "dtype", "device", "data", "fastest",
               "results", "status")  # fmt: skip
    return [_table(columns, rows)] if rows else [Text("No case was completed.")]


def _table(columns: tuple[str, ...], rows: list) -> Table:
    return table(columns, rows, numeric=("B", "D", "C", "results"))


def _files(folder: Folder) -> list[Block]:
    links = (Link(str(folder.typed), folder.address(folder.records.name)),)
    return [Links(links, "The record file, complete, as committed, in a clone:")]


def styles(paths: list[Path], declared: set[str]) -> Styles:
    """One style a contender over the whole site."""
    found = set(declared)
    for path in paths:
        found |= contenders(path)
    return Styles(sorted(found))
