"""Results as trainings give them, without training; for the tests of the mirror in MLflow.

As a script it is one process of several that log at once:
``python tracking_cases.py FOLDER URI FIRST LAST [kill]`` mirrors the seeds from FIRST to before
LAST, and with ``kill`` ends as by kill -9 in the middle of the first.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.training.tracking import Mirror, store
from benchmarks.training.tracking.store import Store
from suites.jobs import Job, Settings, Term
from suites.schema import TrainingResult

RUN = "0" * 32
NAMES = ("train_loss", "recall_at_1", "map_at_r", "seen_recall_at_1")


def result(
    seed: int,
    study: str = "closed",
    status: str = "ok",
    epochs: int = 3,
    arm: str = "softmax/linear",
) -> TrainingResult:
    """A result of softmax on digits; equal seeds, equal results."""
    chance = random.Random(seed)
    job = Job(study, arm, (Term("softmax"),), "digits", seed, Settings(epochs))
    rows: list[dict[str, float | None]] = [
        {"epoch": float(e), **{n: chance.random() for n in NAMES}, "train_time_s": 0.5 * e}
        for e in range(epochs + 1)
    ]
    rows[0]["train_loss"] = None
    rows = [{**row, "train_accuracy": None} for row in rows]
    if status == "worse":
        rows[-1] = {**dict.fromkeys(rows[-1]), "epoch": float(epochs)}
    series = {
        "embedding_1": [chance.gauss(0, 1) for _ in range(30)],
        "embedding_2": [chance.gauss(0, 1) for _ in range(30)],
        "embedding_identity": [float(i % 3) for i in range(30)],
        "roc_far": [0.0, 0.1, 1.0], "roc_tar": [0.0, 0.9, 1.0],
        "distance_edges": [0.0, 1.0, 2.0], "positive_distance_share": [0.7, 0.3],
        "negative_distance_share": [0.2, 0.8],
    }  # fmt: skip
    settings = {"dataset_sha256": "ab" * 32, "images": {"train": 7, "test": 9}, "epochs": epochs}
    reason = "diverged: the loss was nan" if status == "worse" else ""
    return TrainingResult(
        name=job.name, loss=job.loss, variant="linear", contender="eager", dataset="digits",
        seed=seed, status=status, reason=reason, study=study, arm=arm, job=job.plain(),
        settings=settings, epochs=rows, metrics={k: v for k, v in rows[-1].items() if k != "epoch"},
        series=series,
    )  # fmt: skip


def recorded(result: TrainingResult, **changed: Any) -> SimpleNamespace:
    """The result as our own record holds it."""
    provenance = {
        "commit": "0123abc", "dirty": False, "machine": "a machine", "command": "marginbench",
        "versions": {"torch": "2.0"}, "measured_at": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    fields = {**vars(result), "run": RUN, "provenance": provenance, **changed}
    return SimpleNamespace(**fields)


def empty_store(folder: Path) -> Path:
    """The file of an empty store: to make one takes two seconds."""
    Store(folder, f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


def with_a_store(folder: Path, empty: Path, patch: pytest.MonkeyPatch) -> Path:
    """A run's folder with a store of its own, a copy of ``empty``; its files lie there too."""
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setattr(store, "WAIT_S", 0.2)
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        at = (folder / "mlartifacts").as_uri()
        database.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?",
                         (at, store.EXPERIMENT))  # fmt: skip
    database.close()
    return folder


def mirrored(mirror: Mirror, of: TrainingResult) -> dict[str, str]:
    """The result, sent as it goes on; where it is, or why not."""
    for row in range(1, len(of.epochs) + 1):
        heard_to(mirror, of, row)
    mirror.hear(of)
    mirror.send()
    return mirror.place(of)


def heard_to(mirror: Mirror, of: TrainingResult, rows: int) -> None:
    """What is known of it after so many rows, sent."""
    mirror.hear(replace(of, status="running", reason="", epochs=of.epochs[:rows], series={}))
    mirror.send()


def main(folder: str, uri: str, first: str, last: str, kill: str = "") -> None:
    # A busy machine with two cores: what logs at once here is not about how soon one gives up.
    store.WAIT_S = 60
    mirror = Mirror(Path(folder), uri or None, {"run": RUN, "commit": "0123abc"})
    for seed in range(int(first), int(last)):
        one = result(seed)
        if kill:
            heard_to(mirror, one, 1)
            os.kill(os.getpid(), signal.SIGKILL)
        answer = mirrored(mirror, one)
        assert "key" in answer, answer


if __name__ == "__main__":
    main(*sys.argv[1:])
