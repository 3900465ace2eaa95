"""Builds the site from what is published: the same records give the same bytes.

Written into a folder beside the old site and put in its place as a whole: whoever reads sees the
old one or the new one, and a refused record leaves the old one as it is.
"""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import files, folders, kinds
from marginbench import catalogue

from ..document import Link
from . import front, losses, machines, others, rendering, sources
from .context import machine_page, quality_page
from .machines import Made
from .rendering import Frame
from .sources import Folder, Published
from .writing import Output, digest

MANIFEST = kinds.SITE_FILE
SCHEMA_VERSION = 1
# Which versions the figures and pages come from: the one thing that is not the records'.
DECLARED = ("built_with",)
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
    root: Path, out: Path, report: Callable[[float, float, str], None] = lambda *_: None
) -> Site:
    """``root``: the folder of published folders; ``out``: the site's; ``report(done, total, what)``
    is called before each part.

    Raises `benchmarks.records.RecordError` where a record file or what lies beside it is missing
    or refused, and `benchmarks.folders.Refused` where ``out`` holds a file that is no site's;
    ``out`` is left as it was then.
    """
    published = sources.find(root)
    folders.check(out, kinds.SITE, "--out")
    real = out.resolve()  # a link stays one
    real.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{real.name}-", dir=real.parent) as folder:
        made = Path(folder) / "site"
        made.mkdir()
        written = _write(published, made, report)
        folders.check(out, kinds.SITE, "--out")  # what came into it meanwhile would be lost
        _replace(made, real)
    pages = [path for path in written if path.endswith(".html")]
    sizes = {path: (out / path).stat().st_size for path in pages}
    largest = max(sizes, key=lambda path: sizes[path])
    return Site(out, len(pages), len(written), (largest, sizes[largest]), published.left_out)


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
    # A machine's pages take about as long as those of two quality runs; the rest, of one.
    runs = len(published.machines)
    total = 2 * runs + len(published.quality) + 1
    report(0, total, "pages of the machines")
    declared = {c.name for one in catalogue.losses() for v in one.variants for c in v.contenders}
    styles = machines.styles([folder.records for folder in published.machines], declared)
    frame = Frame(_nav(published), styles)
    output = Output(root)
    for path, text in rendering.assets().items():
        output.write(path, text)
    made = []
    for number, one in enumerate(_machines(published.machines, frame, root), start=1):
        report(2 * number, total, "pages of the machines")
        made.append(one)
        output.written |= one.written
    trained = []
    for number, folder in enumerate(published.quality):
        report(2 * runs + number, total, f"training: {folder.shown}")
        trained.append(others.quality(folder, frame, output))
    report(total - 1, total, "pages of the losses")
    trials = [others.trial(folder, output) for folder in published.gate]
    names = losses.names(made)
    pages = {
        path: document for name in names for path, document in losses.documents(name, made).items()
    }
    pages["losses.html"] = front.losses_document(names)
    pages[others.GATE_PAGE] = others.gate_document(trials)
    pages[others.REPRODUCE] = others.reproduce_document(published, trials)
    pages[front.HOME] = front.document(published, made, trained, trials, names)
    for path, document in pages.items():
        output.write(path, rendering.page(document, path, frame))
    output.write(".nojekyll", "")
    files.write(root / MANIFEST, _manifest(published, output.written))
    return {**output.written, MANIFEST: ""}


def _nav(published: Published) -> tuple[Link, ...]:
    links = [Link("Overview", front.HOME), Link("Losses", "losses.html")]
    facts = [(folder, sources.machine_file(folder.path)) for folder in published.machines]
    links += [Link(machines.title_of(f, facts), machine_page(f.name)) for f, facts in facts]
    links += [
        Link(f"Training: {folder.shown}", quality_page(folder.name)) for folder in published.quality
    ]
    return (*links, Link("The gate", others.GATE_PAGE), Link("Reproduce", others.REPRODUCE))


def _machines(folders: Sequence[Folder], frame: Frame, root: Path) -> Iterator[Made]:
    """A process for each run, as many side by side as there are cores."""
    count = min(len(folders), PROCESSES, os.cpu_count() or 1)
    if count < 2:
        yield from (machines.build(folder, frame, root) for folder in folders)
        return
    with _pool(count) as pool:
        waiting = [pool.submit(machines.build, folder, frame, root) for folder in folders]
        yield from (one.result() for one in waiting)


@contextmanager
def _pool(count: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    # A new process for each run: what one has read is given back before the next.
    pool = concurrent.futures.ProcessPoolExecutor(count, mp_context=context, max_tasks_per_child=1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _manifest(published: Published, written: dict[str, str]) -> str:
    """Everything that the site is made of, and all that it is, by hash."""
    found = {
        "schema_version": SCHEMA_VERSION,
        "declared": list(DECLARED),
        "built_with": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "sources": {
            str(path.relative_to(published.root)): digest(path)
            for folder in published.folders()
            for path in (folder.records, folder.path / sources.MACHINE_FILE)
            if path.is_file()
        },
        "files": dict(sorted(written.items())),
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
