"""``marginbench history``: from record files to a page, its figures and the changes found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.records import kinds

from .. import document, output, units
from ..document import Cell, Document, Fact, Section, Text
from ..sections.context import slug
from ..style import Styles
from . import commits, plots
from .changes import Change, changes
from .gathering import Gathered, Series, gather

COLUMNS = ("metric", "case", "contender", "before", "after", "from", "to", "ratio")
_ABOUT = (
    "Runs from different days are compared here, so a change may come from the machine as well as "
    "from the code. This page is for orientation; what a change costs is measured by base against "
    "candidate in one session."
)
_FOOTER = (
    "Where a commit was measured more than once, its point is the median. Bytes are in binary "
    "units (1 MiB = 1,048,576 bytes). Series of two commits or more are drawn."
)


@dataclass(frozen=True)
class Row:
    """One change: the last commit of the old level and the first of the new one."""

    series: Series
    change: Change

    @property
    def cells(self) -> tuple[str, ...]:
        """As `COLUMNS` names them."""
        key, at, ratio = self.series.key, self.change.at, self.change.ratio
        return (
            key.metric, key.case, key.contender, self.series.commits[at - 1][:12],
            self.series.commits[at][:12], units.figure(key.metric, self.change.before),
            units.figure(key.metric, self.change.after),
            units.NOTHING if ratio is None else f"{ratio:.3g}×",
        )  # fmt: skip


@dataclass(frozen=True)
class History:
    """``drawn``: series of two commits or more; ``rows``: what changed, largest first;
    ``strangers``: commits that git does not know here, whose place is a guess."""

    page: Path
    gathered: Gathered
    drawn: int
    alone: int
    rows: tuple[Row, ...]
    strangers: int = 0

    @property
    def order(self) -> str:
        """What is to be said of the commits' order; empty where git knows it."""
        return _guessed(self.strangers)


def _guessed(strangers: int) -> str:
    if not strangers:
        return ""
    return (
        f"{units.plural(strangers, 'commit')} not in this clone's history (a shallow clone: git "
        "fetch --unshallow; or no git): ordered by when they were measured, which may not be "
        "their order in git."
    )


def build(
    paths: Sequence[Path], out_dir: Path, root: Path,
    report: Callable[[float, float, str], None] = lambda *_: None,
) -> History:  # fmt: skip
    """Reads the record files, writes page, report.md and figures/*.svg into ``out_dir``.

    ``root`` is the clone whose log orders the commits; ``report`` is called at each step. Raises
    ImportError without ruptures.
    """
    gathered = gather(paths, report)
    known = commits.log(root)
    order = commits.ordered(gathered.measured_at, known)
    strangers = len(gathered.measured_at.keys() - set(known))
    everything = gathered.series(order)
    report(0, 0, f"looking for changes in {len(everything)} series")
    series = [one for one in everything if len(one.commits) > 1]
    found = {one: changes(one.values, one.kind) for one in series}
    rows = sorted(
        (Row(one, change) for one in series for change in found[one]), key=_size, reverse=True
    )
    report(0, 0, "drawing")
    styles = Styles([one.key.contender for one in series])
    sections = list(_sections(series, found, order, styles, rows))
    made = _document(gathered, order, sections, len(rows), strangers)
    page = output.write(out_dir, kinds.HISTORY, made, styles, {})
    alone = len(everything) - len(series)
    return History(page, gathered, len(series), alone, tuple(rows), strangers)


def _size(row: Row) -> float:
    ratio = row.change.ratio
    return max(ratio, 1 / ratio) if ratio and ratio > 0 else float("inf")


def _sections(
    series: Sequence[Series],
    found: Mapping[Series, Sequence[Change]],
    order: Sequence[str],
    styles: Styles,
    rows: Sequence[Row],
) -> Iterator[Section]:
    if rows:
        cells = [(*(Cell(c, code=i in (3, 4)) for i, c in enumerate(row.cells)),) for row in rows]
        numeric = ("from", "to", "ratio")
        table = document.table(COLUMNS, cells, "Changes, largest first", numeric=numeric)
        yield Section("changes", "Changes", [Text(_ABOUT), table])
    names: set[str] = set()
    for metric, of_metric in groupby(sorted(series, key=_place), lambda one: one.key.metric):
        blocks = []
        for _, group in groupby(of_metric, lambda one: (one.key.machine, one.key.family)):
            together = list(group)
            key = together[0].key
            name = slug(metric, key.family)
            while name in names:
                name += "-x"
            names.add(name)
            blocks.append(plots.figure(name, together, found, order, styles))
        yield Section(slug(metric), metric, blocks)


def _place(one: Series) -> tuple[str, str, str, str, str]:
    key = one.key
    return key.metric, key.machine, key.family, key.case, key.contender


def _document(
    gathered: Gathered,
    order: Sequence[str],
    sections: Sequence[Section],
    changed: int,
    strangers: int,
) -> Document:
    lead = f"{units.plural(changed, 'change')} of level over {units.plural(len(order), 'commit')}."
    notices = [Text(f"Not read: {reason}", kind="warning") for reason in gathered.refused]
    if strangers:
        notices.append(Text(_guessed(strangers), kind="warning"))
    if gathered.dirty:
        text = f"{units.plural(len(gathered.dirty), 'run')} left out: measured with uncommitted"
        notices.append(Text(f"{text} changes, which belong to no commit.", kind="warning"))
    return Document(
        title="MarginBench: history",
        subtitle="Every metric over the commits, from stored records",
        lead=lead,
        facts=[
            Fact("Commits", str(len(order))),
            Fact("Record files", str(gathered.files)),
            Fact("Changes", str(changed)),
        ],
        notices=notices,
        sections=sections,
        footer=_FOOTER,
    )
