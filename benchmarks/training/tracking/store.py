"""One MLflow store: asked before each use, given up after seconds.

mlflow itself waits 20 s for a SQLite file that is locked, 100 s for a database that is gone and
minutes for a server that does not answer. What is raised here is reported as a reason, without the
user and password that an address may hold.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records.kinds import KEY

from . import addresses

EXPERIMENT = "marginbench"
COMPLETE = "marginbench.complete"  # tag: everything has been sent
PARENT = "mlflow.parentRunId"
WAIT_S = 5  # for a lock, a connection, an answer
_PARAMETERS, _METRICS = 100, 1_000  # that one log_batch takes


@dataclass(frozen=True)
class Outcome:
    """What became of sending trainings: newly ``sent``, ``present`` before, ``failed`` for
    ``reason``."""

    sent: int = 0
    present: int = 0
    failed: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Point:
    """One value of one metric, and when (milliseconds since 1970)."""

    metric: str
    value: float
    time_ms: int
    step: int


def key(record: str, name: str) -> str:
    """Names a training of a record in any store; ``record`` is the run's id of our own record."""
    return hashlib.sha256(f"{record}\n{name}".encode()).hexdigest()[:32]


def record(run: object, out_dir: Path) -> str:
    """The id of our own record; where there is none, its folder stands for it, so that two folders
    never replace each other's trainings in one store."""
    return str(run or out_dir.resolve())


class Store:
    """The experiment of one store. Every method raises what goes wrong."""

    def __init__(self, out_dir: Path, uri: str | None = None) -> None:
        """Opens, and where it is not there makes, the store at ``uri``, else at
        MLFLOW_TRACKING_URI, else ``mlflow.db`` in ``out_dir``."""
        out_dir = out_dir.resolve()
        self.uri = addresses.address(out_dir, uri)
        self._database = addresses.database(self.uri)
        _keep_quiet(self.uri)
        from mlflow import MlflowClient

        if self._database is None:
            self._connect()
        else:
            if not self._database.exists():
                _make(self._database)
            _refuse_foreign(self._database)
            self.check()
        self.client: Any = MlflowClient(tracking_uri=self.uri)
        self.experiment = self._experiment(addresses.artifacts(self.uri, out_dir))

    def _connect(self) -> None:
        """Raises at once what keeps a database from answering. A server is asked by the first
        request itself."""
        if addresses.in_database(self.uri):
            from sqlalchemy import create_engine
            from sqlalchemy.pool import NullPool

            create_engine(self.uri, poolclass=NullPool).connect().close()

    def check(self) -> None:
        """Raises, after `WAIT_S` at most, what keeps a SQLite file from being written."""
        if self._database is None:
            return
        if not self._database.exists():
            raise FileNotFoundError(f"{self._database.name} is gone")
        uri = f"{self._database.as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, timeout=WAIT_S, uri=True)) as opened:
            opened.execute("BEGIN IMMEDIATE")

    def _experiment(self, artifacts: str | None) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def runs(self, filter_string: str = "") -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], filter_string=filter_string, max_results=1_000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def find(self, key: str) -> list[Any]:
        return list(self.runs(f"tags.`{KEY}` = '{key}'"))

    def complete(self) -> dict[str, str]:
        """The id of each run that the store holds in whole, by its key."""
        return {
            run.data.tags[KEY]: run.info.run_id
            for run in self.runs(f"tags.`{COMPLETE}` = 'yes'")
            if KEY in run.data.tags and run.info.status != "RUNNING"
        }

    def parent(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """The run that others are nested under; made if it is not there. It has an end at once:
        nobody knows which of its trainings is the last."""
        for run in self.find(key):
            return str(run.info.run_id)
        run_id = self.begin(name, {**tags, KEY: key, COMPLETE: "yes"})
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def begin(self, name: str, tags: Mapping[str, str], start_ms: int | None = None) -> str:
        """A new run, in the place of what there was of the same key (of a run that was killed)."""
        for old in self.find(tags[KEY]):
            self.client.delete_run(old.info.run_id)
        run = self.client.create_run(self.experiment, start_ms, dict(tags), name)
        return str(run.info.run_id)

    def log(
        self,
        run_id: str,
        params: Mapping[str, str] | None = None,
        points: list[Point] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """One request for as much as one request takes."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(p.metric, p.value, p.time_ms, p.step) for p in points or []]
        texts = [Param(name, value) for name, value in (params or {}).items()]
        labels = [RunTag(name, value) for name, value in (tags or {}).items()]
        # A request takes 1,000 entities together.
        room = _METRICS - _PARAMETERS - len(labels)
        while metrics or texts or labels:
            self.client.log_batch(
                run_id, metrics=metrics[:room], params=texts[:_PARAMETERS], tags=labels
            )
            metrics, texts, labels = metrics[room:], texts[_PARAMETERS:], []

    def dataset(self, run_id: str, facts: Mapping[str, Any]) -> None:
        """The dataset as MLflow's input: ``name``, ``digest`` and ``profile`` (text)."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entity = Dataset(
            name=str(facts["name"])[:500], digest=str(facts["digest"])[:36],
            source_type="marginbench", source=str(facts["name"]), profile=facts["profile"],
        )  # fmt: skip
        tag = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(run_id, datasets=[DatasetInput(entity, [tag])])


def reason(error: BaseException) -> str:
    """One line that says what is wrong with the store."""
    lines = str(error).strip().split("\n")
    first = next((x for x in lines if not x.startswith("(raised as a result")), lines[0])
    # Cut last: half an address no longer looks like one, and its password would stay.
    return addresses.without_secrets(f"{type(error).__name__}: {first}")[:300]


def _make(database: Path) -> None:
    """MLflow takes seconds to make its tables, and can't go on where it was killed meanwhile: so
    the file appears whole, and only if no other process was first."""
    from mlflow import MlflowClient

    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=database.parent) as folder:
        made = Path(folder) / database.name
        uri = addresses.of_database(made)
        MlflowClient(tracking_uri=uri).get_experiment_by_name(EXPERIMENT)
        try:
            os.link(made, database)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            made.rename(database)


def _refuse_foreign(database: Path) -> None:
    """MLflow would put its tables into any database of SQLite, and so change somebody's own."""
    try:
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as open_:
            found = open_.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error:
        return  # locked or damaged: the store itself says so
    names = {name for (name,) in found}
    if names and not names & {"alembic_version", "experiments"}:
        raise ValueError(
            f"store: expected a database of MLflow or none; {database} has other tables "
            f"({min(names)}), and is left as it is: name another file"
        )


def _keep_quiet(uri: str) -> None:
    """No telemetry, no printing, no long waits: before mlflow is imported."""
    always = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    unless_set = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(WAIT_S),
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    if uri.startswith("postgresql"):  # read by its client library
        unless_set |= {
            "PGCONNECT_TIMEOUT": str(WAIT_S),
            "PGOPTIONS": f"-c lock_timeout={WAIT_S}s -c statement_timeout={4 * WAIT_S}s",
        }
    os.environ.update(always)
    for name, value in unless_set.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "mlflow.store.db.utils", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def in_a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="marginbench-") as name:
        yield Path(name)
