"""All forms of a gate's outcome, written beside its record."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.gate.records import FILE
from benchmarks.records import folders, kinds

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
    folders.make(gate_dir, kinds.GATE, "--out").write(texts)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(texts[SUMMARY])
    return {name: gate_dir / name for name in texts}
