"""Sends trainings whose record is safe to a store that was not there when they ran."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import content, mirror, store
from .store import COMPLETE, KEY, PARENT, Outcome, Store

Progress = Callable[[str, int, int], None]


def sync(
    records: Path | str | Iterable[Any],
    out_dir: Path,
    uri: str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Sends every finished training that the store lacks; sending twice is sending once.

    ``records`` is a record file or results with `TrainingResult`'s fields (those of
    a record bring their ``run`` and ``provenance``). Models are taken from ``out_dir``.
    ``progress(name, done, all)`` is called after each. Raises OSError or ValueError for a record
    file that can't be read; what the store does is in the outcome.
    """
    found = _read(Path(records)) if isinstance(records, (str, Path)) else list(records)
    todo = [each for each in found if each.status != "not_run" or each.epochs]
    sent = present = 0
    facts = functools.cache(_facts)
    try:
        to = Store(out_dir, uri)
        there = _complete(to)
        for each in todo:
            if (
                store.key(_record(each, out_dir), each.name) in there
                or each.mlflow.get("run_id") in there
            ):
                present += 1
            else:
                to.check()
                sha256 = str(each.settings.get("dataset_sha256", ""))
                send(to, each, out_dir, facts(each.dataset, sha256))
                sent += 1
            if progress:
                progress(each.name, sent + present, len(todo))
    except Exception as error:
        return Outcome(sent, present, len(todo) - sent - present, store.reason(error))
    mirror.try_again(out_dir)
    return Outcome(sent, present)


def _complete(to: Store) -> set[str]:
    """Keys and run ids of what the store holds in whole."""
    whole: set[str] = set()
    for run in to.runs(f"tags.`{COMPLETE}` = 'yes'"):
        if run.info.status != "RUNNING":
            whole |= {run.info.run_id, run.data.tags.get(KEY, "")}
    return whole


def _facts(name: str, sha256: str) -> dict[str, Any]:
    """The dataset's facts, which a record does not hold (fonts alone are a hundred): of the very
    dataset that was trained on, where it is here; else none."""
    from .. import datasets

    try:
        found = datasets.load(name)
        if not sha256 or (sha256 != found.manifest and sha256 != found.validation().manifest):
            return {}
        return dict(found.facts)
    except Exception:  # missing, damaged or changed: the hash stands in the run all the same
        return {}


def send(to: Store, result: Any, out_dir: Path, facts: Mapping[str, Any] | None = None) -> None:
    """One training, in the place of what there was of it; ``facts`` are its dataset's."""
    from suites.quality.jobs import Job

    record, settings = _record(result, out_dir), dict(result.settings)
    given = _provenance(result)
    labels = content.tags(given, result.name, result.study, result.arm)
    above = mirror.parent_name(Job.from_plain(result.job)) if result.job else ""
    if above:
        over = content.tags(given, above, result.study, "")
        labels[PARENT] = to.parent(store.key(record, above), above, over)
    labels[KEY] = store.key(record, result.name)
    end_ms, seconds = _end_ms(given), _seconds(result.epochs)
    run_id = to.begin(result.name, labels, end_ms - int(1_000 * seconds))
    points = content.points(result.epochs, end_ms, seconds)
    to.log(run_id, content.parameters(result, settings), points, content.ending(result))
    manifest = content.dataset(result.dataset, settings, facts or {})
    to.dataset(run_id, content.as_input(manifest))
    mirror.finish(to, run_id, result, manifest, _model(result.name, out_dir), end_ms)


def _model(name: str, out_dir: Path) -> Path | None:
    """The network's file, if it was kept."""
    from ..checkpoints import safe_name

    path = out_dir / "models" / f"{safe_name(name)}.pt"
    return path if path.is_file() else None


def _record(result: Any, out_dir: Path) -> str:
    return store.record(getattr(result, "run", ""), out_dir)


def _provenance(result: Any) -> dict[str, Any]:
    """The tags that a mirror would have been given."""
    given = getattr(result, "provenance", None)
    if given is None:
        return {}
    fields: dict[str, Any] = dict(given) if isinstance(given, Mapping) else dict(vars(given))
    versions = fields.pop("versions", {})
    return {**fields, **versions, "run": getattr(result, "run", "")}


def _end_ms(given: Mapping[str, Any]) -> int:
    """When the record was written; now, where it does not say."""
    try:
        at = datetime.strptime(str(given["measured_at"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        at = datetime.now(UTC)
    return int(at.timestamp() * 1_000)


def _seconds(rows: list[Any]) -> float:
    """The time trained: the last that is known."""
    return max((row.get("train_time_s") or 0.0 for row in rows), default=0.0)


def _read(path: Path) -> list[Any]:
    """The trainings of a record file, the newest of each name; a last line that is cut off (of a
    run that was killed) is not one yet."""
    found: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(True), start=1):
        if not line.endswith("\n"):
            break
        try:
            fields = json.loads(line)
        except ValueError:
            raise ValueError(f"records: expected JSON in {path}, line {number}") from None
        if fields.get("kind") == "training":
            defaults = {"reason": "", "study": "", "arm": "", "job": {}, "settings": {},
                        "epochs": [], "metrics": {}, "series": {}, "mlflow": {}}  # fmt: skip
            found[fields["name"]] = SimpleNamespace(**{**defaults, **fields})
    return list(found.values())
