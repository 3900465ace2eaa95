"""Builds the page of a training-quality run from its records: ``index.html``, the same tables in
``report.md``, the figures in ``summary.json`` and ``figures/*.svg``. The same records give the
same bytes.

``python -m reports.quality.build FOLDER`` does it for a folder that holds records.jsonl or
records.jsonl.xz.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.records import kinds

from .. import output
from ..document import Document
from ..style import LossStyles
from . import judging, reading
from .overview import document
from .reading import Quality
from .summary import summary

SUMMARY = "summary.json"


def build(run_dir: Path, out: Path | None = None, *, option: str = "folder") -> Path:
    """Writes the page into ``out``, by default beside the record, and returns its path.

    Raises `benchmarks.records.loading.RecordError` where the record is missing, cut off or not one
    of ours, and `benchmarks.records.folders.Refused` where the folder (``option`` on the command
    line) is another command's; nothing is written then. Each file is replaced as a whole or not at
    all.
    """
    made, styles, figures = page(reading.read(run_dir))
    return output.write(out or run_dir, kinds.QUALITY, made, styles, {SUMMARY: figures}, option)


def page(quality: Quality) -> tuple[Document, LossStyles, str]:
    """The page as data, the style of each loss on it, and its figures as JSON."""
    judged = judging.judge(quality)
    styles = LossStyles(quality.labels())
    figures = json.dumps(summary(quality, judged), indent=1, allow_nan=False) + "\n"
    return document(quality, judged, styles), styles, figures


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
