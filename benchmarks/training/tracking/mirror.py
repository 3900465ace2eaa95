"""Mirrors a training in MLflow while it runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import addresses, content, files, store
from .store import COMPLETE, KEY, PARENT, Point, Store

if TYPE_CHECKING:
    from suites.quality.jobs import Job
    from suites.schema import Metrics, TrainingResult

RETRY_S = 600.0
_LATER = "its own record is safe; `marginbench quality sync` sends it to MLflow later"


class Mirror:
    """Sends one training at a time to an MLflow store, with one request an epoch.

    ``tags`` (commit, dirty, versions, machine; ``run``: the id of our own record) go to every run.
    Nothing here raises for what the store does. A store that fails is left alone for ten minutes,
    by every process that mirrors into ``out_dir`` (file ``mlflow.down``): a store that is gone
    costs seconds once, not for each training.
    """

    def __init__(
        self,
        out_dir: Path,
        tags: Mapping[str, Any],
        uri: str | None = None,
        system_metrics: bool = True,
    ) -> None:
        self._out_dir, self._tags, self._uri = out_dir.resolve(), dict(tags), uri
        self._system: Any = None
        self._with_system = system_metrics
        self._store: Store | None = None
        self._failed_at, self._reason = 0.0, ""
        self._forget()

    def _forget(self) -> None:
        self._run_id, self._began = "", False
        self._rows: list[Metrics] = []
        self._sent: dict[str, str] = {}
        self._manifest: dict[str, Any] = {}
        self._not_now = ""

    def begin(
        self,
        job: Job,
        description: Mapping[str, Any],
        parent: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """A training begins; ``description`` is its result's ``settings``.

        ``parent`` names the run that it is nested under; a trial of a search is under the one of
        its dataset and loss by itself. ``facts`` are the dataset's.
        """
        self._forget()
        self._began = True
        self._not_now = self._down()
        if self._not_now:
            return
        try:
            if self._store is None:
                self._store = Store(self._out_dir, self._uri)
            self._store.check()
            self._begin(self._store, job, description, parent, facts or {})
        except Exception as error:
            self._fail(error)

    def _begin(
        self,
        to: Store,
        job: Job,
        description: Mapping[str, Any],
        parent: str | None,
        facts: Mapping[str, Any],
    ) -> None:
        record = store.record(self._tags.get("run"), self._out_dir)
        labels = content.tags(self._tags, job.name, job.study, job.arm)
        parent = parent or parent_name(job)
        if parent:
            above = content.tags(self._tags, parent, job.study, "")
            labels[PARENT] = to.parent(store.key(record, parent), parent, above)
        run_id = to.begin(job.name, {**labels, KEY: store.key(record, job.name)})
        settings = dict(description)
        to.log(run_id, params=content.parameters(_named(job), settings))
        self._manifest = content.dataset(job.dataset, settings, facts)
        to.dataset(run_id, content.as_input(self._manifest))
        if self._with_system:
            from .system import System

            self._system = System()
        self._run_id = run_id

    def epoch(self, row: Metrics) -> None:
        """The metrics of an epoch; None and what is not finite is named in a tag."""
        self._rows.append(row)
        if not self._run_id or self._store is None:
            return
        try:
            self._store.check()
            now = _now()
            points = content.points([row], now) + self._sample(now)
            labels = content.not_numbers(self._rows)
            labels.pop("not_defined", None)  # only the end knows
            new = {k: v for k, v in labels.items() if self._sent.get(k) != v}
            self._store.log(self._run_id, points=points, tags=new)
            self._sent |= new
        except Exception as error:
            self._fail(error)

    def _sample(self, now: int) -> list[Point]:
        return self._system.sample(now) if self._system else []

    def end(self, result: TrainingResult, model_path: Path | None) -> dict[str, str]:
        """Where the run is (``store``, ``experiment_id``, ``run_id``), or ``reason``: why there is
        none. ``model_path`` is a network that `benchmarks.training.backbones.load` reads."""
        if not self._run_id or self._store is None:
            return {"reason": self._not_now or self._reason or "the training never began"}
        to, run_id = self._store, self._run_id
        try:
            to.check()
            missed = result.epochs[len(self._rows) :]
            now = _now()
            points = content.points(missed, now) + self._sample(now)
            to.log(run_id, points=points, tags=content.ending(result))
            finish(to, run_id, result, self._manifest, model_path)
        except Exception as error:
            self._fail(error)
            return {"reason": self._reason}
        self._forget()
        return {"store": to.shown, "experiment_id": to.experiment, "run_id": run_id}

    def _fail(self, error: Exception) -> None:
        self._run_id, self._store = "", None
        self._reason = store.reason(error)
        self._failed_at = time.monotonic()
        if isinstance(error, ModuleNotFoundError):
            return
        self._reason = f"{self._reason}; {_LATER}"
        note = {"since_s": time.monotonic(), "store": self._address(), "reason": self._reason}
        with contextlib.suppress(OSError):
            self._note.write_text(json.dumps(note))

    def _down(self) -> str:
        """Why the store is left alone for now; empty where it is not."""
        if self._reason and time.monotonic() < self._failed_at + RETRY_S:
            return self._reason
        try:
            note = json.loads(self._note.read_text())
            # The system's own clock, for processes of one machine: the time of day may be set
            # meanwhile, and after a restart this clock has begun anew.
            age_s = time.monotonic() - float(note["since_s"])
            if note["store"] == self._address() and 0 <= age_s < RETRY_S:
                return str(note["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return ""

    @property
    def _note(self) -> Path:
        return note_of(self._out_dir)

    def _address(self) -> str:
        """Which store, without its secrets."""
        return hashlib.sha256(os.fsencode(addresses.address(self._out_dir, self._uri))).hexdigest()[
            :16
        ]


def try_again(out_dir: Path) -> None:
    """What kept trainings of this folder from the store may be mended: its note goes."""
    note_of(out_dir).unlink(missing_ok=True)


def note_of(out_dir: Path) -> Path:
    """The file that says that the store of this folder's trainings is down."""
    return out_dir.resolve() / "mlflow.down"


def finish(
    to: Store,
    run_id: str,
    result: Any,
    manifest: Mapping[str, Any],
    model_path: Path | None,
    end_ms: int | None = None,
) -> None:
    """The files of a training, and its end (``end_ms``: now, if it is not given)."""
    labels = {COMPLETE: "yes"}
    with store.in_a_folder() as folder:
        files.write(folder, result, manifest)
        if model_path is not None:
            try:
                files.model(folder / "model", run_id, model_path)
            except Exception as error:  # the network's fault, not the store's
                labels["model_missing"] = store.reason(error)
        to.client.log_artifacts(run_id, str(folder))
    to.log(run_id, tags=labels)
    to.client.set_terminated(run_id, "FINISHED" if result.status == "ok" else "FAILED", end_ms)


def parent_name(job: Job) -> str:
    """The run that a trial of a search is nested under; empty for another training."""
    if job.study != "search":
        return ""
    return f"search/{job.dataset}/{job.loss}/{job.contender}/{job.device}"


def _named(job: Job) -> Any:
    from types import SimpleNamespace

    variant = "+".join(term.variant for term in job.terms) or job.arm.partition("/")[2]
    return SimpleNamespace(
        loss=job.loss, variant=variant, contender=job.contender, dataset=job.dataset,
        seed=job.seed, study=job.study, arm=job.arm,
    )  # fmt: skip


def _now() -> int:
    return int(time.time() * 1_000)
