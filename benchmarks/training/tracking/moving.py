"""A store's runs as a folder that can be moved, committed, and made a store of again.

MLflow writes absolute addresses of files into its database; here a run's files lie beside it.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.records.kinds import KEY

from . import addresses, store
from .content import MODEL
from .store import COMPLETE, PARENT, Outcome, Point, Store

FORMAT = "marginbench-mlflow-1"
_PLAIN_BYTES = 100_000  # beyond, the lines are compressed
ORIGIN = "marginbench.run_id"  # tag of an import: the run's id where it was logged
_OURS = {PARENT, "mlflow.log-model.history"}  # tags that hold ids of the store they came from
Progress = Callable[[str, int, int], None]


def export(
    out_dir: Path,
    target: Path,
    uri: str | None = None,
    models: bool = False,
    progress: Progress | None = None,
    *,
    record: str = "",
    small: bool = False,
) -> int:
    """Writes every finished run of the store of ``out_dir`` into ``target``; how many. With
    ``record`` (the id of our own record) only its runs: others may share the store.

    ``target`` then holds ``runs.jsonl`` (``runs.jsonl.xz`` where large): a line of the format,
    then one a run by name, with params, tags, datasets and each metric's history; and
    ``artifacts``, a folder a run. Networks are left out unless ``models``. With ``small`` there is
    no ``artifacts``: files of JSON stand in the run's line, and figures, which our own record's
    series draw again, are left out.
    Raises ValueError where ``target`` is neither new nor empty, what the store raises, and
    FileNotFoundError where ``out_dir`` was to have a store.
    """
    if target.is_dir() and any(target.iterdir()):
        raise ValueError(f"target: expected a new or empty folder; {target} is not empty")
    missing = addresses.absent(out_dir, uri)
    if missing:
        raise FileNotFoundError(f"{missing} is not there")
    of = Store(out_dir, uri)
    found = [
        run
        for run in of.runs(f"tags.run = '{record}'" if record else "")
        if run.info.status != "RUNNING" and KEY in run.data.tags
    ]
    keys = {run.info.run_id: run.data.tags[KEY] for run in found}
    found.sort(key=lambda run: (PARENT in run.data.tags, run.info.run_name, run.data.tags[KEY]))
    target.mkdir(parents=True, exist_ok=True)
    lines = [{"format": FORMAT, "runs": len(found)}]
    for number, run in enumerate(found, start=1):
        line = _line(of, run, keys)
        if small:
            line["texts"] = _texts(of, run.info.run_id)
        else:
            folder = target / "artifacts" / run.data.tags[KEY]
            line["files"] = _download(of, run.info.run_id, folder, models)
        lines.append(line)
        if progress:
            progress(run.info.run_name, number, len(found))
    _write(target, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    return len(found)


def _line(of: Store, run: Any, keys: dict[str, str]) -> dict[str, Any]:
    start = run.info.start_time
    metrics = {}
    for name in sorted(run.data.metrics):
        history = of.client.get_metric_history(run.info.run_id, name)
        points = sorted((p.step, p.timestamp - start, p.value) for p in history)
        metrics[name] = [list(column) for column in zip(*points, strict=True)]
    tags = {k: v for k, v in run.data.tags.items() if k not in _OURS}
    tags.setdefault(ORIGIN, run.info.run_id)
    inputs = [i.dataset for i in run.inputs.dataset_inputs] if run.inputs else []
    return {
        "name": run.info.run_name, "status": run.info.status, "start_ms": start,
        "end_ms": run.info.end_time, "parent": keys.get(run.data.tags.get(PARENT, ""), ""),
        "tags": tags, "params": dict(run.data.params), "metrics": metrics,
        "datasets": [{"name": d.name, "digest": d.digest, "profile": d.profile} for d in inputs],
    }  # fmt: skip


def _download(of: Store, run_id: str, folder: Path, models: bool) -> list[str]:
    """The run's files below ``folder``, sorted."""
    for top in of.client.list_artifacts(run_id):
        if top.path != MODEL or models:
            folder.mkdir(parents=True, exist_ok=True)
            of.client.download_artifacts(run_id, top.path, str(folder))
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _texts(of: Store, run_id: str) -> dict[str, str]:
    """The run's own files of JSON, by name."""
    names = sorted(top.path for top in of.client.list_artifacts(run_id))
    with store.in_a_folder() as folder:
        return {
            name: Path(of.client.download_artifacts(run_id, name, str(folder))).read_text("utf-8")
            for name in names
            if name.endswith(".json")
        }


def _write(target: Path, text: str) -> None:
    if len(text) > _PLAIN_BYTES:
        (target / "runs.jsonl.xz").write_bytes(lzma.compress(text.encode(), preset=9))
    else:
        (target / "runs.jsonl").write_text(text, encoding="utf-8")


def _read(folder: Path) -> list[dict[str, Any]]:
    plain, packed = folder / "runs.jsonl", folder / "runs.jsonl.xz"
    if packed.is_file():
        text = lzma.decompress(packed.read_bytes()).decode()
    elif plain.is_file():
        text = plain.read_text(encoding="utf-8")
    else:
        raise ValueError(f"folder: expected an export with {plain.name}; {folder} has none")
    lines = [json.loads(line) for line in text.splitlines()]
    if not lines or lines[0].get("format") != FORMAT:
        raise ValueError(f"folder: expected the format {FORMAT}; {folder} has another")
    if lines[0]["runs"] != len(lines) - 1:
        raise ValueError(f"folder: expected {lines[0]['runs']} runs; got {len(lines) - 1}")
    return lines[1:]


def import_(folder: Path, uri: str, progress: Progress | None = None) -> Outcome:
    """Makes the runs of an export in the store at ``uri``, but for those that it has.

    Raises ValueError for a folder that is no export; what the store does is in the outcome.
    """
    lines = _read(folder)
    sent = present = 0
    try:
        to = Store(Path(), uri)
        there = to.complete()
        for line in lines:
            key = line["tags"][KEY]
            if key in there:
                present += 1
            else:
                to.check()
                there[key] = _make(to, line, folder / "artifacts" / key, there)
                sent += 1
            if progress:
                progress(line["name"], sent + present, len(lines))
    except Exception as error:
        return Outcome(sent, present, len(lines) - sent - present, store.reason(error))
    return Outcome(sent, present)


def _make(to: Store, line: dict[str, Any], files: Path, there: dict[str, str]) -> str:
    """The new run's id. It is complete only once everything is there."""
    tags = {k: v for k, v in line["tags"].items() if k != COMPLETE}
    if line["parent"]:
        tags[PARENT] = there[line["parent"]]
    run_id = to.begin(line["name"], tags, line["start_ms"])
    points = [
        Point(name, value, line["start_ms"] + after, step)
        for name, columns in line["metrics"].items()
        for step, after, value in zip(*columns, strict=True)
    ]
    to.log(run_id, line["params"], points)
    for facts in line["datasets"]:
        to.dataset(run_id, facts)
    if files.is_dir():
        to.client.log_artifacts(run_id, str(files))
    for name, text in line.get("texts", {}).items():
        to.client.log_text(run_id, text, name)
    to.log(run_id, tags={COMPLETE: "yes"})
    to.client.set_terminated(run_id, line["status"], line["end_ms"])
    return run_id
