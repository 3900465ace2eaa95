"""Builds a run's report from its records: ``index.html``, ``report.md``, ``results.csv`` and
``figures/*.svg``. The same records give the same bytes.

``python -m reports.build reports/out/RUN`` does it for one run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from benchmarks.records import folders, kinds, record_files

from . import comparison, output, reading, tables, units
from .overview import document
from .paths import IN_CLONE, ROOT
from .reading import Records
from .sections.context import Context
from .style import Styles


def build(
    run_dir: Path, out: Path | None = None, *, option: str = "folder", also: Collection[str] = (),
    report: Callable[[float, float, str], None] = lambda *_: None,
) -> Path:  # fmt: skip
    """Writes the report into ``out``, by default ``run_dir``, and returns the page's path.

    Raises `benchmarks.records.loading.RecordError` where the record file is missing, cut off, or
    not one of ours, and `benchmarks.records.folders.Refused` where the folder is another command's
    or holds a file of somebody else's where one is to be written (``also``: what the caller will
    write); nothing is written then. ``option`` is how the command line names the folder. Each file
    is replaced as a whole or not at all. ``report(share, 1, what)`` is called at each step.
    """
    path, out = _file(run_dir), out or run_dir
    records = reading.load(path)
    styles = Styles(records.contenders())
    context = Context(records, styles, record_files.resumption(_shown(run_dir) / path.name))
    beside = {"results.csv": tables.results_csv(records)}
    commands = {case: f"#{anchor}" for case, anchor in context.anchors.items()}
    made = output.drawn(document(context, report), styles, beside, commands)
    return output.put(out, kind_of(out), made, option, also)


def kind_of(folder: Path) -> kinds.Kind:
    """A run's report is drawn for a session on a lent GPU too."""
    return kinds.GPU if folders.found(folder) is kinds.GPU else kinds.RUN


def _file(run_dir: Path) -> Path:
    """The record file, or where it should be."""
    return record_files.find(run_dir) or run_dir / record_files.FILE


def summary_table(run_dir: Path) -> list[tuple[str, str, str, str]]:
    """Rows for a terminal, one a timed case: case, winner, ratio, interval.

    The ratio is the winner's speed over eager (over the next where eager wins). Raises
    `benchmarks.records.loading.RecordError` as `build` does.
    """
    return list(_summary(reading.load(_file(run_dir))))


def _summary(records: Records) -> Iterator[tuple[str, str, str, str]]:
    for measured in records.cases:
        one = comparison.answer(measured)
        if one.state == "nothing" and not one.excluded:
            continue
        case = measured.case
        name = f"{case.loss}/{case.variant} {measured.size} {case.dtype}"
        if case.data != "drawn":
            name += f" {case.data}"
        if one.margin is None:
            yield name, one.title, units.NOTHING, units.NOTHING
        else:
            words = f"{units.digits3(one.margin.estimate)}× {one.against}"
            yield name, one.title, words, units.bounds(one.margin)


def _shown(run_dir: Path) -> Path:
    """The folder from the root of the clone, so that the page does not depend on how it was typed;
    one that lies elsewhere as it was. What lies in reports/published of any clone is named from
    that one's root: verified from another clone, its page is the same."""
    absolute = run_dir.resolve()
    if absolute.parent.parts[-2:] == IN_CLONE.parts:
        return IN_CLONE / absolute.name
    return absolute.relative_to(ROOT) if absolute.is_relative_to(ROOT) else run_dir


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
