"""A finished run in the form in which it is committed: small, and drawn from itself alone.

``records.jsonl.xz`` holds the record's very bytes, so that `marginbench quality again` compares
with what was measured. Beside it lies the MLflow side without networks and without figures, which
`marginbench quality sync` draws again from the records. The site shows the page (`reports.site`).
"""

from __future__ import annotations

import lzma
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records import folders, kinds, record_files
from benchmarks.records.loading import RecordError, load
from benchmarks.records.record_files import FILE, PACKED

from . import reading

MLFLOW = "mlflow"
Progress = Callable[[str, int, int], None]


class NotThere(ValueError):
    """The target is the folder of a run that is not published."""


class Refused(Exception):
    """What kept MLflow's side from being written."""


def publish(
    run_dir: Path, target: Path, store: str | None = None, progress: Progress = lambda *_: None
) -> dict[str, int]:
    """The bytes of each file or folder that ``target`` then holds. ``progress(what, done, all)`` is
    called for each training sent to MLflow, and each of its runs.

    The same run published twice gives the same bytes. Raises RecordError for a record that is
    damaged or of a run that is not finished, NotThere for a target that holds a run,
    `benchmarks.records.folders.Refused` for one that holds anything else, and Refused where
    MLflow's store does not take or give; ``target`` is then as it was.
    """
    source = reading.find(run_dir)
    run = load(source)
    if not run.complete:
        raise RecordError(f"records: expected a finished run in {run_dir}; complete it with: "
                          f"{record_files.resumption(source)}")  # fmt: skip
    folders.expect(run_dir, kinds.QUALITY, "RUN_DIR")
    if target.resolve() == run_dir.resolve() or (target / FILE).exists():
        raise NotThere(f"expected a folder of its own for what is published; {target} holds a run")
    folders.check(target, kinds.QUALITY, "TARGET")
    raw = source.read_bytes()
    text = lzma.decompress(raw) if record_files.is_packed(source) else raw
    packed = {PACKED: lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)}
    folders.check(target, kinds.QUALITY, "TARGET", packed)
    folders.check(target / MLFLOW, kinds.EXPORT, "TARGET")
    _sync(run_dir, list(run.trainings), store, progress)
    with _small(run_dir, run.sessions[0].run, store, progress) as made:
        folders.make(target, kinds.QUALITY, "TARGET").write(packed)
        put(made.files, target / MLFLOW)
    return {path.name: _bytes(path) for path in sorted(target.iterdir())}


@dataclass(frozen=True)
class Exported:
    """``files`` by their path in an export; ``runs``: how many of MLflow's runs they are."""

    files: Mapping[str, Path]
    runs: int


@contextmanager
def exported(
    run_dir: Path, store: str | None, models: bool = False, *, record: str = "",
    small: bool = False, progress: Progress = lambda *_: None,
) -> Iterator[Exported]:  # fmt: skip
    """MLflow's side of a run, whole, in a folder that is thrown away; raises what the store does:
    an export that fails half-way leaves an earlier one as it was."""
    from benchmarks.training import tracking

    with tempfile.TemporaryDirectory(prefix="marginbench-") as name:
        folder = Path(name) / "export"
        runs = tracking.export(run_dir, folder, store, models, progress, record=record, small=small)
        files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        yield Exported(files, runs)


def put(files: Mapping[str, Path], target: Path) -> None:
    """In the place of an earlier export in ``target``."""
    owned = folders.make(target, kinds.EXPORT, "TARGET", files)
    owned.write(files)
    owned.drop(owned.files - set(files))


def _sync(run_dir: Path, trainings: list, store: str | None, progress: Progress) -> None:
    from benchmarks.training import tracking

    outcome = tracking.sync(trainings, run_dir, store, progress)
    if outcome.reason:
        raise Refused(f"{outcome.failed} trainings are not in MLflow: {outcome.reason}")


@contextmanager
def _small(run_dir: Path, run: str, store: str | None, progress: Progress) -> Iterator[Exported]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(
                exported(run_dir, store, record=run, small=True, progress=progress)
            )
        except Exception as error:  # a database driver's own, an HTTP client's
            raise Refused(f"{type(error).__name__}: {error}") from error
        yield made


def _bytes(path: Path) -> int:
    every = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in every if each.is_file())
