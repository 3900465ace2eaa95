"""All forms of a gate's outcome, written beside its record."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.gate.records import FILE

from . import benchmark_json, junit, markdown, reading, terminal

SUMMARY, JUNIT, BENCHMARK, TABLE = "summary.md", "junit.xml", "benchmark.json", "table.txt"
_RENDER = {
    SUMMARY: markdown.render,
    JUNIT: junit.render,
    BENCHMARK: benchmark_json.render,
    TABLE: terminal.text,
}


def write_all(gate_dir: Path) -> dict[str, Path]:
    """Each form's path by its file name. In a job on GitHub the Markdown is added to the job's
    summary too. Raises RecordError, and writes nothing, where the record is none of a whole gate.
    """
    run = reading.load(gate_dir / FILE)
    texts = {name: render(run) for name, render in _RENDER.items()}
    paths = {name: _replace(gate_dir / name, text) for name, text in texts.items()}
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(texts[SUMMARY])
    return paths


def _replace(path: Path, text: str) -> Path:
    """Whoever reads ``path`` finds the old text or the new one, whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return path
