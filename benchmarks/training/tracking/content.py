"""What is sent to MLflow of a training: texts, numbers and files, from the training's own result.

Works on anything with `TrainingResult`'s fields; those of a record bring ``run`` and
``provenance`` too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suites.schema import Metrics

from .store import Point

MODEL = "model"
_PARAMETER, _TAG = 6_000, 8_000  # characters that MLflow keeps of a value
_FIELDS = ("loss", "variant", "contender", "dataset", "seed", "study", "arm")


def parameters(result: Any, settings: Mapping[str, Any]) -> dict[str, str]:
    """Everything that the figures depend on; a value that is too long ends in dots, and is whole
    in the file ``job.json``."""
    named = {name: getattr(result, name) for name in _FIELDS}
    return {name: _cut(_text(value), _PARAMETER) for name, value in {**settings, **named}.items()}


def provenance(result: Any) -> dict[str, Any]:
    """What a record says of where its line came from; empty for what is no record's."""
    given = getattr(result, "provenance", None)
    if given is None:
        return {}
    fields: dict[str, Any] = dict(given) if isinstance(given, Mapping) else dict(vars(given))
    versions = fields.pop("versions", {})
    return {**fields, **versions, "run": getattr(result, "run", "")}


def tags(given: Mapping[str, Any], name: str, study: str, arm: str) -> dict[str, str]:
    """Those of every run: ``given`` by the caller, and what the training is called."""
    texts = {key: _cut(_text(value), _TAG) for key, value in given.items()}
    texts |= {"record": name, "study": study, "arm": arm}
    if "commit" in texts:
        texts["mlflow.source.git.commit"] = texts["commit"]
    return texts


def parent(result: Any) -> str:
    """The run that a trial of a search is nested under; empty for another training."""
    if result.study != "search" or not result.job:
        return ""
    device = result.job["device"]
    return f"search/{result.dataset}/{result.loss}/{result.contender}/{device}"


def standing(result: Any) -> dict[str, str]:
    """The tags that change as it goes on; ``status``, ``reason`` and ``not_defined`` are known at
    the end alone."""
    texts = not_numbers(result.epochs, result.status)
    if result.status == "running":
        texts.pop("not_defined", None)
        return texts
    texts["status"] = str(result.status)
    if result.reason:
        texts["reason"] = _cut(result.reason, _TAG)
    return texts


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


def points(rows: Iterable[Metrics], times_ms: Iterable[int]) -> list[Point]:
    """The finite metrics of each row, at its epoch and its time."""
    return [
        Point(name, float(value), at, int(row["epoch"] or 0))
        for row, at in zip(rows, times_ms, strict=True)
        for name, value in row.items()
        if name != "epoch" and value is not None and math.isfinite(value)
    ]


def times(result: Any) -> tuple[int, list[int], int]:
    """When a recorded training began, when each of its rows was measured, and its end, in
    milliseconds: the record's time is the end, ``train_time_s`` is counted back from it."""
    try:
        at = str(provenance(result)["measured_at"])
        end = datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        end = datetime.now(UTC)
    seconds = [row.get("train_time_s") for row in result.epochs]
    trained_s = max((s or 0.0 for s in seconds), default=0.0)
    end_ms = int(1_000 * end.timestamp())
    rows = [end_ms - int(1_000 * (trained_s - (trained_s if s is None else s))) for s in seconds]
    return end_ms - int(1_000 * trained_s), rows, end_ms


def facts(name: str, sha256: str) -> Mapping[str, Any]:
    """The dataset's facts, which a record does not hold (fonts alone are a hundred): of the very
    dataset that was trained on, where it is here; else none."""
    from .. import datasets

    try:
        found = datasets.load(name)
        known = sha256 in (found.manifest, found.validation().manifest)
        return dict(found.facts) if known or not sha256 else {}
    except Exception:  # missing, damaged or changed: the hash stands in the run all the same
        return {}


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


def write_files(folder: Path, result: Any, manifest: Mapping[str, Any]) -> None:
    """Writes ``manifest.json`` (the dataset) and ``job.json`` (what it takes to train it again).
    Nothing is drawn: MLflow draws the metrics, and the run's own page what the series hold."""
    _write_json(folder / "manifest.json", dict(manifest))
    _write_json(folder / "job.json", {"job": result.job, "settings": result.settings})


def write_model(folder: Path, run_id: str, path: Path) -> None:
    """The network in ``path`` as an MLflow model with its signature, for
    ``mlflow.pytorch.load_model("runs:/RUN/model")`` where this package can be imported.

    The requirements are given: MLflow would run the model in another process to find them.
    """
    import mlflow.pytorch
    import numpy
    import torch
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from .. import backbones

    network = backbones.load(path)
    shape = tuple(backbones.read(path)["facts"]["image_shape"])
    with torch.no_grad():
        out = network(torch.zeros(1, *shape))
    single = numpy.dtype(numpy.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(single, (-1, *shape))]),
        outputs=Schema([TensorSpec(single, (-1, *out.shape[1:]))]),
    )
    mlflow.pytorch.save_model(
        network, str(folder), mlflow_model=Model(artifact_path=MODEL, run_id=run_id),
        signature=signature, pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        serialization_format="pickle",
    )  # fmt: skip


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _text(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
