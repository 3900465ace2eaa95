"""Builds the site from what is published: the same records give the same bytes.

Written into a folder beside the old site and put in its place as a whole: whoever reads sees the
old one or the new one, and a refused record leaves the old one as it is.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.records import files, folders, kinds
from marginbench import catalogue

from .. import pages
from ..document import Link
from . import (
    front,
    losses,
    machines,
    others,
    program_records,
    reproduce,
    sampled_loss,
    sources,
    static_facts,
    what_bounds,
    who_computes,
)
from .frame import (
    GATE_PAGE,
    HOME,
    LOSSES,
    REPRODUCE,
    SHARED,
    Frame,
    machine_page,
    program_page,
    quality_page,
)
from .machines import Made
from .others import Trial
from .sources import Published
from .writing import Output, digest

MANIFEST = kinds.SITE_FILE
# 2: names where the records lie.
SCHEMA_VERSION = 2
# Which versions the figures and pages come from: the one thing that is not the records'.
DECLARED = ("built_with",)
# What makes a page of a program's record, by its name.
_PROGRAMS: dict[str, Any] = dict(zip(sources.PROGRAMS, (who_computes, sampled_loss), strict=True))
_PACKAGES = ("jinja2", "matplotlib", "numpy")
PROCESSES = 2


@dataclass(frozen=True)
class Site:
    """What was built. ``left_out``: folders without records."""

    root: Path
    pages: int
    files: int
    largest: tuple[str, int]
    left_out: tuple[str, ...]


def build(
    root: Path, out: Path, report: Callable[[float, float, str], None] = lambda *_: None,
    at: str = "",
) -> Site:  # fmt: skip
    """``root``: the folder of published folders; ``out``: the site's; ``report(done, total, what)``
    is called before each part. ``at``: where the site finds the records (`sources.BESIDE` or
    `sources.COPIES`), by default as ``out`` lies: a site that is not beside its records has copies.

    Raises `benchmarks.records.loading.RecordError` where a record file or what lies beside it is
    missing or refused, and `benchmarks.records.folders.Refused` where ``out`` holds a file that is
    no site's; ``out`` is left as it was then.
    """
    real = out.resolve()  # a link stays one
    beside = real.parent == root.resolve()
    published = sources.find(root, at or (sources.BESIDE if beside else sources.COPIES))
    folders.check(out, kinds.SITE, "--out")
    real.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{real.name}-", dir=real.parent) as folder:
        made = Path(folder) / "site"
        made.mkdir()
        written = _write(published, made, report)
        folders.check(out, kinds.SITE, "--out")  # what came into it meanwhile would be lost
        _replace(made, real)
    sizes = {path: (out / path).stat().st_size for path in written if path.endswith(".html")}
    largest = max(sizes, key=lambda path: sizes[path])
    return Site(out, len(sizes), len(written), (largest, sizes[largest]), published.left_out)


def _replace(made: Path, out: Path) -> None:
    old = made.with_name("old")
    try:
        if out.exists():
            out.rename(old)
        made.chmod(0o755)
        made.rename(out)
    finally:
        if old.exists() and not out.exists():  # an interrupt, or an error, came in between
            old.rename(out)


def _write(
    published: Published, root: Path, report: Callable[[float, float, str], None]
) -> dict[str, str]:
    # The pages of a machine or a trial take about as long as those of two quality runs.
    several = len(published.machines) + len(published.gate)
    total = 2 * several + len(published.quality) + 1
    report(0, total, "pages of the machines and the gate")
    declared = {c.name for one in catalogue.losses() for v in one.variants for c in v.contenders}
    styles = machines.styles([folder.records for folder in published.machines], declared)
    frame = Frame(_nav(published), styles)
    output = Output(root)
    for path, text in pages.assets().items():
        output.write(path, text)
    _copy(published, output)
    made: list[Made] = []
    trials: list[Trial] = []
    for number, one in enumerate(_side_by_side(published, frame, root), start=1):
        report(2 * number, total, "pages of the machines and the gate")
        output.written |= one.written
        if isinstance(one, Made):
            made.append(one)
        else:
            trials.append(one)
    trained = []
    for number, folder in enumerate(published.quality):
        report(2 * several + number, total, f"training: {folder.shown}")
        trained.append(others.quality(folder, frame, output))
    report(total - 1, total, "pages of the losses")
    names = losses.names(made)
    documents = {
        path: document for name in names for path, document in losses.documents(name, made).items()
    }
    shown = []
    for record in published.programs:
        path, program = program_page(record.stem), _PROGRAMS[record.stem]
        whole = program.document(program_records.read(record, program.SCHEMA_VERSION))
        output.page(whole, frame.page(path), others.without_records)
        shown.append(Link(program.TITLE.lower(), path))
    documents[LOSSES] = front.losses_document(names, made, shown)
    documents[SHARED] = static_facts.shared()
    documents[GATE_PAGE] = others.gate_document(trials)
    documents[REPRODUCE] = reproduce.document(published)
    documents[HOME] = front.document(published, made, trained, trials, names)
    for path, document in documents.items():
        page = frame.page(path)
        output.figures(what_bounds.figures(document), page.figures, others.without_records)
        output.write(path, pages.render(document, page))
    output.write(".nojekyll", "")
    files.write(root / MANIFEST, _manifest(published, output.written))
    return {**output.written, MANIFEST: ""}


def _nav(published: Published) -> tuple[Link, ...]:
    links = [Link("Overview", HOME), Link("Losses", LOSSES)]
    facts = [(folder, sources.machine_file(folder.path)) for folder in published.machines]
    links += [Link(machines.title_of(f, facts), machine_page(f.name)) for f, facts in facts]
    links += [
        Link(f"Training: {folder.shown}", quality_page(folder.name)) for folder in published.quality
    ]
    return (*links, Link("The gate", GATE_PAGE), Link("Reproduce", REPRODUCE))


def _copy(published: Published, output: Output) -> None:
    """A site that lies elsewhere takes its records with it."""
    if published.at == sources.COPIES:
        for path in published.files():
            output.copy(f"{sources.COPIES}/{path.relative_to(published.root).as_posix()}", path)


def _side_by_side(published: Published, frame: Frame, root: Path) -> Iterator[Made | Trial]:
    """A process for each machine and trial, as many side by side as there are cores."""
    jobs: list[Callable[[], Made | Trial]] = [
        functools.partial(build, folder, frame, root)
        for build, folders in ((machines.build, published.machines), (others.trial, published.gate))
        for folder in folders
    ]
    count = min(len(jobs), PROCESSES, os.cpu_count() or 1)
    if count < 2:
        yield from (job() for job in jobs)
        return
    with processes.side_by_side(count, once=True) as pool:
        waiting = [pool.submit(job) for job in jobs]
        yield from (one.result() for one in waiting)


def _manifest(published: Published, written: dict[str, str]) -> str:
    """Everything that the site is made of, and all that it is, by hash."""
    found = {
        "schema_version": SCHEMA_VERSION,
        "records": published.at,
        "declared": list(DECLARED),
        "built_with": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "sources": {
            path.relative_to(published.root).as_posix(): digest(path) for path in published.files()
        },
        "files": dict(sorted(written.items())),
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
