"""A finished run in the form in which it is committed: small, and drawn from itself alone.

``records.jsonl.xz`` holds the record's very bytes, so that `marginbench quality again` compares
with what was measured. Beside it lie the page, built from that file, and the MLflow side without
networks and without figures, which `marginbench quality sync` draws again from the records.
"""

from __future__ import annotations

import lzma
from pathlib import Path

from benchmarks import files, record_files
from benchmarks.record_files import FILE, PACKED
from benchmarks.records import RecordError, load

from . import reading
from .build import build

MLFLOW = "mlflow"


class NotThere(ValueError):
    """The target is a folder of something else."""


class Refused(Exception):
    """What kept MLflow's side from being written."""


def publish(run_dir: Path, target: Path, store: str | None = None) -> dict[str, int]:
    """The bytes of each file or folder that ``target`` then holds.

    The same run published twice gives the same bytes. Raises RecordError for a record that is
    damaged or of a run that is not finished, NotThere for a target that holds anything else, and
    Refused where MLflow's store does not take or give; ``target`` is then as it was.
    """
    source = reading.find(run_dir)
    run = load(source)
    if not run.complete:
        raise RecordError(f"records: expected a finished run in {run_dir}; complete it with: "
                          f"marginbench quality run --resume {run_dir}")  # fmt: skip
    _check(run_dir, target)
    raw = source.read_bytes()
    text = lzma.decompress(raw) if record_files.is_packed(source) else raw
    _mlflow(run_dir, target / MLFLOW, list(run.trainings), run.sessions[0].run, store)
    files.write(target / PACKED, lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    build(target)
    return {path.name: _bytes(path) for path in sorted(target.iterdir())}


def _check(run_dir: Path, target: Path) -> None:
    if target.resolve() == run_dir.resolve() or (target / FILE).exists():
        raise NotThere(f"expected a folder of its own for what is published; {target} holds a run")
    if target.is_dir() and any(target.iterdir()) and not (target / PACKED).is_file():
        raise NotThere(f"expected a new folder or one published before; {target} holds other files")


def _mlflow(run_dir: Path, target: Path, trainings: list, run: str, store: str | None) -> None:
    from suites.quality import tracking

    outcome = tracking.sync(trainings, run_dir, store)
    if outcome.reason:
        raise Refused(f"{outcome.failed} trainings are not in MLflow: {outcome.reason}")
    try:
        tracking.export(run_dir, target, store, record=run, small=True)
    except Exception as error:  # a database driver's own, an HTTP client's
        raise Refused(f"{type(error).__name__}: {error}") from error


def _bytes(path: Path) -> int:
    every = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in every if each.is_file())
