"""The kinds of folder that commands make: how one without a marker is recognised, and which of its
files are ours. `folders` has the rule.

Needs the standard library alone.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import record_files

GATE_FILE, TRIAL_FILE = "gate.jsonl", "trust.jsonl"
SITE_FILE = "manifest.json"
# How many bytes of a file are searched for the pattern that shows that it is ours.
_BEGINNING = 4096
_FIGURES = re.compile(r"\]\((figures/[^)/\s]+\.svg)\)")
_PAGE, _MARKDOWN, _ANY = rb"<title>MarginBench", rb"\A# MarginBench", rb""
# The tag of an MLflow run: which training of which record it is.
KEY = "marginbench.key"


@dataclass(frozen=True)
class Kind:
    """``name`` is written in markers; ``made`` says which commands make and draw it.

    ``shown``: whether a folder without a marker is of this kind. ``pages`` are the files that its
    command always writes, ``others`` those that it may write; each with a pattern that its
    beginning matches if it is ours. ``also``: further files in a folder that are ours.
    ``replaced_whole``: the folder may hold no other files, since they would be lost.
    """

    name: str
    made: str
    shown: Callable[[Path], bool]
    pages: Mapping[str, bytes] = field(default_factory=dict)
    others: Mapping[str, bytes] = field(default_factory=dict)
    also: Callable[[Path], Iterable[str]] = lambda folder: ()
    replaced_whole: bool = False

    def listed(self, folder: Path) -> set[str]:
        """The files in a folder of this kind that are recognised as ours without its marker."""
        known = {**self.pages, **self.others}
        return {name for name, start in known.items() if _begins(folder / name, start)} | set(
            self.also(folder)
        )


def _begins(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return re.search(start, file.read(_BEGINNING)) is not None
    except OSError:
        return False


def _figures(folder: Path) -> set[str]:
    """The figures that a report of ours names."""
    path = folder / "report.md"
    if not _begins(path, _MARKDOWN):
        return set()
    return set(_FIGURES.findall(path.read_text(encoding="utf-8", errors="replace")))


def _command(folder: Path) -> str | None:
    """The command that began the record of a run; None if there is no record of ours."""
    for name in record_files.FILES:
        first = record_files.head(folder / name)
        if first.get("kind") == "session" and {"schema_version", "run"} <= set(first):
            return str(first.get("command"))
    return None


def _is_quality(folder: Path) -> bool:
    return (_command(folder) or "").startswith("marginbench quality")


def _is_gpu(folder: Path) -> bool:
    return (_command(folder) or "").startswith("python -m benchmarks.gpu_session")


def _is_run(folder: Path) -> bool:
    return _command(folder) is not None and not _is_quality(folder) and not _is_gpu(folder)


def _is_gate(folder: Path) -> bool:
    return record_files.head(folder / GATE_FILE).get("kind") == "gate_start"


def _is_trial(folder: Path) -> bool:
    heads = [record_files.head(folder / name) for name in (TRIAL_FILE, f"{TRIAL_FILE}.xz")]
    return any(one.get("kind") == "session" and {"rule", "unit_ns"} <= set(one) for one in heads)


def _titled(title: bytes) -> Callable[[Path], bool]:
    """Whether the report has this title, by which pages without a record are recognised."""
    return lambda folder: _begins(folder / "report.md", _MARKDOWN + title)


def _manifest(folder: Path) -> Any:
    try:
        return json.loads((folder / SITE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _is_site(folder: Path) -> bool:
    made = _manifest(folder)
    if not isinstance(made, dict) or not {"schema_version", "sources", "files"} <= set(made):
        return False
    return isinstance(made["sources"], dict) and isinstance(made["files"], dict)


def _site_files(folder: Path) -> Iterable[str]:
    return [SITE_FILE, *_manifest(folder)["files"]] if _is_site(folder) else ()


def _exported(folder: Path) -> list[Path]:
    paths = (folder / "runs.jsonl", folder / "runs.jsonl.xz")
    heads = {path: str(record_files.head(path).get("format")) for path in paths}
    return [path for path, said in heads.items() if said.startswith("marginbench-mlflow")]


def _export_files(folder: Path) -> Iterable[str]:
    """The files that an export lists; of a damaged one, those before the damage."""
    for path in _exported(folder):
        yield path.name
        try:
            with record_files.opened(path) as lines:
                for line in map(record_files.parsed, lines):
                    for name in line.get("files", ()):
                        yield f"artifacts/{line['tags'][KEY]}/{name}"
        except (OSError, ValueError, KeyError, TypeError, EOFError, lzma.LZMAError):
            return


_REPORT = {"index.html": _PAGE, "report.md": _MARKDOWN}
_RUN_PAGES = {**_REPORT, "results.csv": rb"\Asuite,loss,variant"}
_PDF = {"report.pdf": rb"\A%PDF-"}
RUN = Kind("run", "made by marginbench run and drawn by marginbench report", _is_run,
           _RUN_PAGES, _PDF, _figures)  # fmt: skip
GPU = Kind("GPU session", "made by python -m benchmarks.gpu_session and drawn by marginbench "
           "report", _is_gpu, _RUN_PAGES, _PDF, _figures)  # fmt: skip
QUALITY = Kind(
    "quality run",
    "made by marginbench quality run, recipe or publish and drawn by marginbench quality report",
    _is_quality, {**_REPORT, "summary.json": rb'\A\{\s*"version"'},
    {record_files.PACKED: rb"\A\xfd7zXZ"}, _figures,
)  # fmt: skip
GATE = Kind(
    "gate", "made by marginbench gate", _is_gate,
    dict.fromkeys(("summary.md", "junit.xml", "benchmark.json", "table.txt"), _ANY),
)  # fmt: skip
TRIAL = Kind(
    "gate trial", "made by marginbench gate-trust", _is_trial,
    {**_REPORT, "summary.json": rb'\A\{\s*"schema_version"'}, also=_figures,
)  # fmt: skip
COMPARISON = Kind("comparison", "made by marginbench compare", _titled(rb": comparison\n"),
                  _REPORT, also=_figures)  # fmt: skip
HISTORY = Kind("history", "made by marginbench history", _titled(rb": history\n"), _REPORT,
               also=_figures)  # fmt: skip
SITE = Kind("site", "made by marginbench publish", _is_site, also=_site_files,
            replaced_whole=True)  # fmt: skip
EXPORT = Kind("MLflow export", "made by marginbench quality export",
              lambda folder: bool(_exported(folder)), also=_export_files)  # fmt: skip
KINDS = (RUN, GPU, QUALITY, GATE, TRIAL, COMPARISON, HISTORY, SITE, EXPORT)
