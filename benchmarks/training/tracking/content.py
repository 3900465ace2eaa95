"""What is sent to MLflow of a training: texts, numbers and files, from the training's own result.

Works on anything with `TrainingResult`'s fields.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suites.schema import Metrics

from .store import Point

_PARAMETER, _TAG = 6_000, 8_000  # characters that MLflow keeps of a value
_FIELDS = ("loss", "variant", "contender", "dataset", "seed", "study", "arm")


def parameters(result: Any, settings: Mapping[str, Any]) -> dict[str, str]:
    """Everything that the figures depend on; a value that is too long ends in dots, and is whole
    in the file ``job.json``."""
    named = {name: getattr(result, name) for name in _FIELDS}
    return {name: _cut(_text(value), _PARAMETER) for name, value in {**settings, **named}.items()}


def tags(given: Mapping[str, Any], name: str, study: str, arm: str) -> dict[str, str]:
    """Those of every run: ``given`` by the caller, and what the training is called."""
    texts = {key: _cut(_text(value), _TAG) for key, value in given.items()}
    texts |= {"record": name, "study": study, "arm": arm}
    if "commit" in texts:
        texts["mlflow.source.git.commit"] = texts["commit"]
    return texts


def ending(result: Any) -> dict[str, str]:
    """The tags that only the end knows."""
    texts = {"status": str(result.status)}
    if result.reason:
        texts["reason"] = _cut(result.reason, _TAG)
    return {**texts, **not_numbers(result.epochs, result.status)}


def not_numbers(rows: list[Metrics], status: str = "ok") -> dict[str, str]:
    """The tags ``not_finite`` and ``not_defined``: the names of metrics that MLflow is not sent.

    None stands for both in a row. A metric that was a number before was not finite; so was every
    one that is None when a training diverges. What was never a number is not defined here.
    """
    numbers: set[str] = set()
    bad: set[str] = set()
    names: set[str] = set()
    for row in rows:
        for name, value in row.items():
            names.add(name)
            if value is None:
                bad |= {name} & numbers
            elif math.isfinite(value):
                numbers.add(name)
            else:
                bad.add(name)
    if status == "worse" and rows:
        bad |= {name for name, value in rows[-1].items() if value is None}
    names_of = {"not_finite": bad, "not_defined": names - numbers - bad}
    return {tag: _cut(", ".join(sorted(of)), _TAG) for tag, of in names_of.items() if of}


def points(rows: Iterable[Metrics], time_ms: int, end_s: float | None = None) -> list[Point]:
    """The finite metrics of each row, at its epoch.

    ``time_ms`` is the time of all of them; or, where ``end_s`` is given (the last row's
    ``train_time_s``), the end of the training, from which each row's own time is counted back.
    """
    found = []
    for row in rows:
        at = time_ms
        if end_s is not None:
            reached = row.get("train_time_s")
            at -= int(1_000 * (end_s - (end_s if reached is None else reached)))
        step = int(row["epoch"] or 0)
        found += [
            Point(name, float(value), at, step)
            for name, value in row.items()
            if name != "epoch" and value is not None and math.isfinite(value)
        ]
    return found


def dataset(name: str, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset's name, hash and facts: the file ``manifest.json``."""
    known = ("images", "identities", "preprocessing", "protocol")
    return {
        "dataset": name,
        "sha256": settings.get("dataset_sha256", ""),
        **{key: settings[key] for key in known if key in settings},
        "facts": dict(facts or settings.get("dataset_facts", {})),
    }


def as_input(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What `Store.dataset` takes."""
    profile = {k: v for k, v in manifest.items() if k not in ("dataset", "facts")}
    return {
        "name": manifest["dataset"], "digest": manifest["sha256"] or "unknown",
        "profile": _text(profile),
    }  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _text(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
